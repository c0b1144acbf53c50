package rqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dragonfly/registry"
)

const (
	deploymentColumns = "id, machine, state, os, batch, created_ms, ended_ms, version, doc"
	osColumns         = "id, version, doc"
)

// deployments stores what c says of deployments and operating systems.
func (w *writes) deployments(c registry.Change) error {
	var errs []error
	for _, d := range c.Deployments {
		d = d.Rounded()
		errs = append(errs, w.add(checkDeployments, c.Op, d.ID, d.Version),
			w.add(storeDeployments, d.ID, d.Machine, string(d.State), d.OS, d.Batch, millis(d.CreatedAt), millis(d.EndedAt), d.Version+1, d))
	}
	for _, o := range slices.Concat(c.DeleteOSes, c.OSes) {
		errs = append(errs, w.add(checkOSes, c.Op, o.ID, o.Revision))
	}
	for _, o := range c.DeleteOSes {
		errs = append(errs, w.add(deleteOSes, o.ID))
	}
	for _, o := range c.OSes {
		o.Revision++
		errs = append(errs, w.add(storeOSes, o.ID, o.Revision, o))
	}
	type attempt struct {
		deployment string
		number     int
	}
	long := map[attempt]bool{}
	for _, l := range c.Lines {
		errs = append(errs, w.add(appendLines, l.Deployment, l.Attempt, l.N, millis(l.At), l.Action, l.Text))
		if l.N >= registry.FirstLines+registry.NewestLines {
			long[attempt{l.Deployment, l.Attempt}] = true
		}
	}
	for a := range long {
		errs = append(errs, w.add(forgetLines, a.deployment, a.number, registry.FirstLines, registry.NewestLines))
	}
	return errors.Join(errs...)
}

// lostDeployment says which deployment or operating system has another version than
// c takes it for.
func (s *Store) lostDeployment(ctx context.Context, c registry.Change) error {
	var q registry.DeploymentQuery
	for _, d := range c.Deployments {
		q.IDs = append(q.IDs, d.ID)
	}
	if len(q.IDs) > 0 {
		found, err := s.Deployments(ctx, q)
		if err != nil {
			return err
		}
		for _, d := range c.Deployments {
			at := slices.IndexFunc(found, func(stored registry.Deployment) bool { return stored.ID == d.ID })
			if at < 0 && d.Version != 0 {
				return &registry.ConflictError{Object: "deployment " + d.ID, Read: d.Version}
			}
			if at >= 0 && found[at].Version != d.Version {
				return &registry.ConflictError{Object: "deployment " + d.ID, Read: d.Version, Stored: found[at].Version}
			}
		}
	}
	if len(c.OSes)+len(c.DeleteOSes) == 0 {
		return nil
	}
	stored, err := s.OSes(ctx)
	if err != nil {
		return err
	}
	versions := map[string]int64{}
	for _, o := range stored {
		versions[o.ID] = o.Revision
	}
	for _, o := range slices.Concat(c.DeleteOSes, c.OSes) {
		if versions[o.ID] != o.Revision {
			return &registry.ConflictError{Object: "operating system " + o.ID, Read: o.Revision, Stored: versions[o.ID]}
		}
	}
	return nil
}

// Deployments returns those that q selects, in its order, page by page.
func (s *Store) Deployments(ctx context.Context, q registry.DeploymentQuery) ([]registry.Deployment, error) {
	var found []registry.Deployment
	for {
		page := q
		if page.Limit = pageSize; q.Limit > 0 {
			page.Limit = min(q.Limit-len(found), pageSize)
		}
		stmt, err := deploymentSelection(page)
		if err != nil {
			return nil, err
		}
		deployments, err := scan(ctx, s, scanDeployment, stmt)
		if err != nil {
			return nil, err
		}
		found = append(found, deployments...)
		if len(deployments) < page.Limit || len(found) == q.Limit {
			return found, nil
		}
		q.After = deployments[len(deployments)-1].Position()
	}
}

// deploymentSelection is the statement for q. Only what is set becomes part of it.
func deploymentSelection(q registry.DeploymentQuery) (statement, error) {
	b, where := builder{}, []string{"true"}
	for _, in := range []struct {
		column string
		values any
		count  int
	}{{"id", q.IDs, len(q.IDs)}, {"machine", q.Machines, len(q.Machines)}, {"state", q.States, len(q.States)}} {
		if in.count == 0 {
			continue
		}
		values, err := json.Marshal(in.values)
		if err != nil {
			return statement{}, fmt.Errorf("load deployments: %w", err)
		}
		where = append(where, in.column+" IN (SELECT value FROM json_each("+b.param(string(values))+"))")
	}
	if q.OS != "" {
		where = append(where, "os = "+b.text(q.OS))
	}
	if q.Batch != "" {
		where = append(where, "batch <> '' AND batch = "+b.text(q.Batch))
	}
	direction, than := " DESC", "<"
	if q.Oldest {
		direction, than = "", ">"
	}
	if q.After != (registry.DeploymentPosition{}) {
		where = append(where, "(created_ms, id) "+than+" ("+b.param(millis(q.After.CreatedAt))+", "+b.text(q.After.ID)+")")
	}
	sql := "SELECT machine, version, doc, progress FROM deployments WHERE " + strings.Join(where, " AND ") +
		" ORDER BY created_ms" + direction + ", id" + direction + limited(q.Limit)
	return statement{name: "load deployments", sql: sql, args: b.args}, nil
}

func scanDeployment(rows cursor) (d registry.Deployment, err error) {
	var machine, doc, progress string
	var version int64
	if err := rows.Scan(&machine, &version, &doc, &progress); err != nil {
		return d, err
	}
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return d, fmt.Errorf("deployment: %w", err)
	}
	if progress != "" {
		if err := json.Unmarshal([]byte(progress), &d.Track); err != nil {
			return d, fmt.Errorf("progress of deployment %s: %w", d.ID, err)
		}
	}
	d.Machine, d.Version = machine, version
	return d, nil
}

// CountDeployments returns how many there are in each state; none is left out.
func (s *Store) CountDeployments(ctx context.Context) (map[registry.DeploymentState]int, error) {
	rows, err := s.db.read(ctx, statement{name: "count deployments", sql: `SELECT state, count(*) FROM deployments GROUP BY state`})
	if err != nil {
		return nil, err
	}
	counts := map[registry.DeploymentState]int{}
	for _, state := range registry.DeploymentStates() {
		counts[state] = 0
	}
	for rows.Next() {
		var state string
		var count int64
		if err := rows.Scan(&state, &count); err != nil {
			return nil, fmt.Errorf("count deployments: %w", err)
		}
		counts[registry.DeploymentState(state)] = int(count)
	}
	return counts, nil
}

// Lines returns up to limit lines of a deployment's log behind a position.
func (s *Store) Lines(ctx context.Context, deployment string, after registry.LinePosition, limit int) ([]registry.DeploymentLine, error) {
	return scan(ctx, s, func(rows cursor) (l registry.DeploymentLine, err error) {
		var at int64
		err = rows.Scan(&l.Deployment, &l.Attempt, &l.N, &at, &l.Action, &l.Text)
		l.At = moment(at)
		return l, err
	}, statement{
		name: "load lines of a deployment",
		sql: `SELECT deployment, attempt, n, at_ms, action, text FROM deployment_lines
			WHERE deployment = ?1 ->> '$' AND (attempt, n) > (?2, ?3) ORDER BY attempt, n` + limited(max(limit, 0)),
		args: []any{text(deployment), after.Attempt, after.N},
	})
}

// Track records how far deployments are; an unknown ID is ignored.
func (s *Store) Track(ctx context.Context, tracks map[string]registry.Track) error {
	w := &writes{}
	for id, track := range tracks {
		track.At = moment(millis(track.At))
		if err := w.add(trackDeployments, id, track); err != nil {
			return err
		}
	}
	if len(tracks) == 0 {
		return nil
	}
	return s.db.write(ctx, w.statements()...)
}

// OSes returns the records of operating systems, in the order of their IDs.
func (s *Store) OSes(ctx context.Context) ([]registry.OS, error) {
	return scan(ctx, s, func(rows cursor) (o registry.OS, err error) {
		var doc string
		if err := rows.Scan(&o.Revision, &doc); err != nil {
			return o, err
		}
		return o, json.Unmarshal([]byte(doc), &o)
	}, statement{name: "load operating systems", sql: `SELECT version, doc FROM oses ORDER BY id`})
}
