package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tinkerbell/tinkerbell/crd"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	"dragonfly/tinkerbell/clustertest/etcd"
)

// server is a running API server.
type server struct {
	admin   *rest.Config
	client  *kubernetes.Clientset
	objects dynamic.Interface
}

// startServer runs the API server with roles enforced, and waits until it is ready.
// cancel is called when it ends.
func startServer(ctx context.Context, cancel context.CancelCauseFunc, dir, store string) (*server, error) {
	key, token := filepath.Join(dir, "accounts.key"), rand.Text()
	if err := errors.Join(writeKey(key), os.WriteFile(filepath.Join(dir, "tokens.csv"), []byte(token+",admin,admin,system:masters\n"), 0o600)); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(etcd.FreeAddress())
	command := app.NewAPIServerCommand()
	command.SetArgs([]string{"--etcd-servers=http://" + store, "--authorization-mode=RBAC", "--token-auth-file=" + filepath.Join(dir, "tokens.csv"),
		"--bind-address=" + host, "--advertise-address=" + host, "--secure-port=" + port, "--cert-dir=" + dir,
		"--service-account-issuer=https://kubelab", "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--service-cluster-ip-range=10.96.0.0/24"})
	go func() { cancel(fmt.Errorf("the API server ended: %w", command.ExecuteContext(ctx))) }()
	s := &server{admin: &rest.Config{Host: "https://" + net.JoinHostPort(host, port), BearerToken: token, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "apiserver.crt")}}}
	return s, s.ready(ctx)
}

// writeKey makes the key that tokens of service accounts are signed with.
func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600)
}

// ready waits until the server says that it is.
func (s *server) ready(ctx context.Context) error {
	return until(ctx, "the API server is ready", func() (err error) {
		if _, err = os.Stat(s.admin.CAFile); err != nil { // it writes that first
			return err
		}
		if s.client, err = kubernetes.NewForConfig(s.admin); err != nil {
			return err
		}
		if s.objects, err = dynamic.NewForConfig(s.admin); err != nil {
			return err
		}
		return s.client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// until tries until it is done, for two minutes.
func until(ctx context.Context, what string, done func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// equip makes Tinkerbell's kinds, the namespace, and what a file has.
func (s *server) equip(ctx context.Context, namespace, file string) error {
	texts := [][]byte{fmt.Appendf(nil, "{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", strconv.Quote(namespace))}
	for _, text := range crd.TinkerbellDefaults {
		texts = append(texts, text)
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		texts = append(texts, text)
	}
	for _, text := range texts {
		if err := s.create(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// create makes the objects of a manifest.
func (s *server) create(ctx context.Context, manifest []byte) error {
	documents := yaml.NewDocumentDecoder(nopCloser(manifest))
	for {
		text := make([]byte, 1<<20)
		n, err := documents.Read(text)
		if n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text[:n], &object.Object); err != nil {
			return err
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := until(ctx, "make "+object.GetKind()+" "+object.GetName(), func() error { return s.createOne(ctx, object) }); err != nil {
			return err
		}
	}
}

func (s *server) createOne(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(s.client.Discovery())).RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var resource dynamic.ResourceInterface = s.objects.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		resource = s.objects.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	if _, err = resource.Create(ctx, object, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// kubeconfig is one for a service account, with a token of a day.
func (s *server) kubeconfig(ctx context.Context, namespace, account string) ([]byte, error) {
	day := int64(24 * 60 * 60)
	reply, err := s.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token of the account %s: %w", account, err)
	}
	authority, err := os.ReadFile(s.admin.CAFile)
	if err != nil {
		return nil, err
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["lab"] = &clientcmdapi.Cluster{Server: s.admin.Host, CertificateAuthorityData: authority}
	c.AuthInfos[account] = &clientcmdapi.AuthInfo{Token: reply.Status.Token}
	c.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: account, Namespace: namespace}
	c.CurrentContext = "lab"
	return clientcmd.Write(*c)
}
