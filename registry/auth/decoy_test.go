package auth

import (
	"testing"

	"github.com/alexedwards/argon2id"
)

func TestDecoyIsAHashOfNothing(t *testing.T) {
	decoy, err := decoyHash(argon2id.DefaultParams)
	if err != nil {
		t.Fatal(err)
	}
	match, params, err := argon2id.CheckHash("", decoy)
	if err != nil || match {
		t.Errorf("match %v, %v", match, err)
	}
	if params == nil || *params != *argon2id.DefaultParams {
		t.Errorf("checked with %+v, want %+v", params, argon2id.DefaultParams)
	}
}
