package action

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// oci2disk writes the image that a container registry keeps as an artifact of one
// layer, such as what `oras push` makes of a file. The layer is held against its
// digest; else it is as image2disk. A registry without TLS is named as
// http://HOST/NAME:TAG; one on this machine needs no TLS.
func oci2disk(ctx context.Context, env *Env) error {
	device, address, packed, err := env.imageVars()
	if err != nil {
		return err
	}
	r, err := newRegistry(env, address)
	if err != nil {
		return err
	}
	i := image{packed: packed}
	if i.source, i.sum, err = r.layer(ctx); err != nil {
		return fmt.Errorf("%w; nothing was written to %s", err, device)
	}
	return i.write(ctx, env, device)
}

// manifest is what we read of an image manifest or an index (OCI image
// specification 1.1, manifest.md and image-index.md; Docker's schema 2 is alike).
type manifest struct {
	MediaType string `json:"mediaType"`
	Layers    []blob `json:"layers"`
	Manifests []blob `json:"manifests"`
}

// blob is what a registry keeps, as a manifest names it (descriptor.md).
type blob struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Platform    *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

// manifestTypes are what a registry is asked for.
const manifestTypes = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, " +
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

// maxManifest is how large a registry has to take manifests at least, in bytes
// (OCI distribution specification 1.1).
const maxManifest = 4 << 20

// repository is one in a registry, and how to get at it.
type repository struct {
	env   *Env
	named reference.Named
	base  string // http://HOST/v2/NAME
	auth  *authorization
}

// newRegistry reads a reference such as registry.local/images/debian:12.
func newRegistry(env *Env, address string) (*repository, error) {
	scheme, name := "https", address
	for _, s := range []string{"http", "https", "oci"} {
		if rest, ok := strings.CutPrefix(address, s+"://"); ok {
			scheme, name = strings.Replace(s, "oci", "https", 1), rest
		}
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("IMG_URL is %q, which is no reference such as registry.local/images/debian:12: %w", address, err)
	}
	host := reference.Domain(named)
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	if name == address && isLocal(host) {
		scheme = "http"
	}
	insecure, err := env.flag("SKIP_VERIFY", false)
	if err != nil {
		return nil, err
	}
	r := &repository{env: env, named: reference.TagNameOnly(named), base: scheme + "://" + host + "/v2/" + reference.Path(named)}
	r.auth = &authorization{client: env.http(), user: env.Vars["REGISTRY_USERNAME"], password: env.Vars["REGISTRY_PASSWORD"], plain: scheme == "http"}
	if insecure {
		r.auth.client = trusting(r.auth.client)
	}
	return r, nil
}

func isLocal(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// layer is where the image is, and its sum.
func (r *repository) layer(ctx context.Context) (*source, []byte, error) {
	m, err := r.manifest(ctx, r.tag())
	if err != nil {
		return nil, nil, err
	}
	if len(m.Manifests) > 0 {
		one, err := m.forThisMachine()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", r.named, err)
		}
		if m, err = r.manifest(ctx, one.Digest); err != nil {
			return nil, nil, err
		}
	}
	if len(m.Layers) != 1 {
		return nil, nil, fmt.Errorf("%s has %d layers%s; want one, the image", r.named, len(m.Layers), titles(m.Layers))
	}
	sum, err := digestSum(m.Layers[0].Digest)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.named, err)
	}
	file, err := r.source("/blobs/" + m.Layers[0].Digest)
	return file, sum, err
}

// tag is the tag or the digest of the reference.
func (r *repository) tag() string {
	if digested, ok := r.named.(reference.Digested); ok {
		return digested.Digest().String()
	}
	if tagged, ok := r.named.(reference.Tagged); ok {
		return tagged.Tag()
	}
	return "latest"
}

// manifest fetches a manifest by its tag or digest.
func (r *repository) manifest(ctx context.Context, tag string) (m manifest, err error) {
	file, err := r.source("/manifests/" + tag)
	if err != nil {
		return m, err
	}
	span := file.read(ctx, 0, -1)
	defer span.Close()
	text, err := io.ReadAll(io.LimitReader(span, maxManifest+1))
	if err != nil {
		return m, err
	}
	if len(text) > maxManifest {
		return m, fmt.Errorf("the manifest of %s is larger than %s", r.named, short(maxManifest))
	}
	if strings.Contains(tag, ":") {
		want, err := digestSum(tag)
		if err != nil {
			return m, err
		}
		if sum := sha256.Sum256(text); !bytes.Equal(sum[:], want) {
			return m, fmt.Errorf("the manifest %s of %s has the SHA-256 %x", tag, r.named, sum)
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("the manifest of %s: %w", r.named, err)
	}
	return m, nil
}

// source is a file of the repository.
func (r *repository) source(path string) (*source, error) {
	file, err := r.env.newSource(r.base + path)
	if err != nil {
		return nil, err
	}
	file.client, file.authorize = r.auth.client, r.auth.authorize
	return file, nil
}

// forThisMachine chooses from an index.
func (m manifest) forThisMachine() (blob, error) {
	if len(m.Manifests) == 1 {
		return m.Manifests[0], nil
	}
	i := slices.IndexFunc(m.Manifests, func(d blob) bool {
		return d.Platform != nil && d.Platform.Architecture == runtime.GOARCH
	})
	if i < 0 {
		return blob{}, fmt.Errorf("none of its %d manifests is for %s", len(m.Manifests), runtime.GOARCH)
	}
	return m.Manifests[i], nil
}

// titles are the names of the files that layers were made of: " (a.img, b.img)".
func titles(layers []blob) string {
	var names []string
	for _, l := range layers {
		names = append(names, cmp.Or(l.Annotations["org.opencontainers.image.title"], l.MediaType))
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// digestSum is the SHA-256 of a digest.
func digestSum(digest string) ([]byte, error) {
	text, ok := strings.CutPrefix(digest, "sha256:")
	sum, err := hex.DecodeString(text)
	if !ok || err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("the digest %q cannot be checked; want sha256: and hexadecimal digits", digest)
	}
	return sum, nil
}
