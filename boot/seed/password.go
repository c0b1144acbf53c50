package seed

import (
	"errors"
	"fmt"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

const maxPassword = 256 // bytes

// HashPassword is the hash of a password for [registry.SeedUser], salted SHA-512
// as crypt(5) has it ($6$), which every Linux reads. It takes a good part of a
// second, on purpose.
func HashPassword(password string) (string, error) {
	switch {
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) > maxPassword:
		return "", fmt.Errorf("the password has %d bytes; at most %d", len(password), maxPassword)
	case !isPlain(password):
		return "", errors.New("the password has a control character or is not UTF-8: nobody could type it")
	}
	hasher, err := shacrypt.New(shacrypt.WithSHA512())
	if err != nil {
		return "", err
	}
	digest, err := hasher.Hash(password)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return digest.Encode(), nil
}
