package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

const rulesPath = "/api/v1/rules"

// Rules is the rules on registration on the wire.
type Rules struct {
	Version int64           `json:"version,omitempty" minimum:"0" doc:"of the whole set; a PUT that has one is refused where another one is stored"`
	Rules   []registry.Rule `json:"rules" nullable:"false" maxItems:"256" doc:"in the order in which they are tried"`
	Stale   bool            `json:"stale,omitempty" doc:"in answers: the database is away, and these are the rules that were known last"`
}

// RulesTest is the body of POST /api/v1/rules/test.
type RulesTest struct {
	Machine string          `json:"machine" maxLength:"128" doc:"ID or name"`
	Rules   []registry.Rule `json:"rules,omitempty" maxItems:"256" doc:"to try; those in force where there are none"`
}

// RulesTrial is what rules would make of a machine.
type RulesTrial struct {
	Verdicts []registry.RuleVerdict `json:"verdicts" doc:"of every rule, in their order"`
	Name     string                 `json:"name" doc:"generated where no rule names it"`
	Owner    string                 `json:"owner,omitempty"`
	Tags     []string               `json:"tags,omitempty"`
	Labels   map[string]string      `json:"labels,omitempty"`
	OS       string                 `json:"assigned_os,omitempty"`
}

func (s *Server) mountRules(api huma.API) {
	tags := []string{"rules"}
	huma.Register(api, huma.Operation{OperationID: "get-rules", Method: http.MethodGet, Path: rulesPath,
		Summary: "The rules on registration", Tags: tags, Description: "They give a name, tags, labels, an owner or an operating system " +
			"to a machine that registers for the first time. What an operator has said of it before stays.", Errors: []int{503}}, s.getRules)
	huma.Register(api, huma.Operation{OperationID: "put-rules", Method: http.MethodPut, Path: rulesPath,
		Summary: "Replace the rules on registration; machines that have registered keep what they have", Tags: tags,
		MaxBodyBytes: maxBody, Errors: []int{409, 412, 422, 503}}, s.putRules)
	huma.Register(api, huma.Operation{OperationID: "test-rules", Method: http.MethodPost, Path: rulesPath + "/test",
		Summary: "What rules would make of a machine if it registered now for the first time; nothing is changed", Tags: tags,
		MaxBodyBytes: maxBody, Errors: []int{404, 422, 503}}, s.testRules)
}

type rulesOutput struct {
	ETag string `header:"ETag"`
	Body Rules
}

func rulesOf(set registry.RuleSet) *rulesOutput {
	out := &rulesOutput{ETag: strconv.Quote(strconv.FormatInt(set.Version, 10)), Body: Rules{Version: set.Version, Rules: set.Rules}}
	if out.Body.Rules == nil {
		out.Body.Rules = []registry.Rule{}
	}
	return out
}

func (s *Server) getRules(ctx context.Context, _ *struct{}) (*rulesOutput, error) {
	set, err := s.registry.Rules(ctx)
	if err != nil {
		return nil, s.problem(err)
	}
	out := rulesOf(set)
	out.Body.Stale = !s.registry.Outage().Since.IsZero()
	return out, nil
}

type putRulesInput struct {
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read; without one, and without a version, any rules are replaced"`
	Body    Rules
}

func (s *Server) putRules(ctx context.Context, in *putRulesInput) (*rulesOutput, error) {
	matching, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	version := matching
	if version == registry.AnyVersion {
		version = in.Body.Version
	}
	set, err := s.registry.SetRules(ctx, version, in.Body.Rules)
	if _, lost := errors.AsType[*registry.ConflictError](err); lost && matching != registry.AnyVersion {
		return nil, huma.Error412PreconditionFailed(err.Error())
	}
	if err != nil {
		return nil, s.problem(err)
	}
	return rulesOf(set), nil
}

type testRulesInput struct{ Body RulesTest }

type testRulesOutput struct{ Body RulesTrial }

func (s *Server) testRules(ctx context.Context, in *testRulesInput) (*testRulesOutput, error) {
	trial, err := s.registry.TestRules(ctx, in.Body.Machine, in.Body.Rules)
	if err != nil {
		return nil, s.problem(err)
	}
	m := trial.Machine
	return &testRulesOutput{Body: RulesTrial{Verdicts: append([]registry.RuleVerdict{}, trial.Verdicts...),
		Name: m.Name, Owner: m.Owner, Tags: m.Tags, Labels: m.Labels, OS: m.OS}}, nil
}

// Rules is the rules on registration.
func (c *Client) Rules(ctx context.Context) (Rules, error) {
	var reply Rules
	err := c.do(ctx, http.MethodGet, rulesPath, nil, &reply)
	return reply, err
}

// SetRules replaces the rules; 409 where they have a version that is not stored.
func (c *Client) SetRules(ctx context.Context, rules Rules) (Rules, error) {
	var reply Rules
	err := c.do(ctx, http.MethodPut, rulesPath, rules, &reply)
	return reply, err
}

// TestRules is what rules would make of a machine.
func (c *Client) TestRules(ctx context.Context, test RulesTest) (RulesTrial, error) {
	var reply RulesTrial
	err := c.do(ctx, http.MethodPost, rulesPath+"/test", test, &reply)
	return reply, err
}
