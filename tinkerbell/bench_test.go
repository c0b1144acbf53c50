package tinkerbell

import (
	"os"
	"testing"
)

func BenchmarkCheck(b *testing.B) {
	text, err := os.ReadFile("testdata/good/ubuntu.yaml")
	if err != nil {
		b.Fatal(err)
	}
	data := dataOf(b, machine())
	for b.Loop() {
		if _, err := Check(text, data); err != nil {
			b.Fatal(err)
		}
	}
}
