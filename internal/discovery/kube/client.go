package kube

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/profbot/profbot/internal/discovery"
)

// scheme knows pods and nothing else: client-go's own knows every type of
// every API group and costs tens of megabytes of binary.
var (
	scheme     = newScheme()
	codecs     = serializer.NewCodecFactory(scheme)
	parameters = runtime.NewParameterCodec(scheme)
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Pod{}, &corev1.PodList{})
	metav1.AddToGroupVersion(s, corev1.SchemeGroupVersion)
	return s
}

// OptionError is one option that cannot be used.
type OptionError struct {
	Option       string // as the configuration calls it: selector, kubeconfig or context
	Problem, Fix string
}

// Error names the option as the configuration does.
func (e *OptionError) Error() string {
	return "kubernetes." + e.Option + ": " + e.Problem + ": " + e.Fix
}

// Check says which of the options [New] would refuse because of what they say
// or of the files that they name. It keeps nothing. That profbot does not run
// in a pod, whose credentials would be used, is not among it.
func Check(opt Options) []*OptionError {
	var out []*OptionError
	if err := checkSelector(opt.Selector); err != nil {
		out = append(out, err)
	}
	_, err := restConfig(opt.Kubeconfig, opt.Context)
	if e, ok := errors.AsType[*OptionError](err); ok {
		out = append(out, e)
	}
	return out
}

func checkSelector(s string) *OptionError {
	if _, err := labels.Parse(s); err != nil {
		return &OptionError{"selector", fmt.Sprintf("%q is no label selector", s), "write it as kubectl takes it, such as team=live,tier!=batch"}
	}
	return nil
}

// restConfig reads a kubeconfig file, or the service account of the pod that
// profbot runs in. No environment variable but Kubernetes' own is looked at.
func restConfig(file, context string) (*rest.Config, error) {
	read := inPod
	if file != "" {
		read = func() (*rest.Config, error) { return fromFile(file, context) }
	}
	config, err := read()
	if err != nil {
		return nil, err
	}
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = codecs.WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.UserAgent = "profbot"
	config.WarningHandler = rest.NoWarnings{}
	// The default of 5 a second would make the pods of a storm wait for their
	// confirmation; the API server has its own fairness.
	config.QPS, config.Burst = 50, 200
	return config, nil
}

func inPod() (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, errors.New("profbot does not run in a pod: kubernetes.kubeconfig has to name a file")
	case err != nil:
		return nil, &OptionError{"kubeconfig", "the credentials of profbot's own pod: " + err.Error(), "give the pod a service account's token, or name a file"}
	}
	return config, nil
}

// fromFile reads a kubeconfig and the files that it names. The credentials of
// profbot's own pod never stand in for what it lacks.
func fromFile(file, context string) (*rest.Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, &OptionError{"kubeconfig", err.Error(), "name a file that profbot can read"}
	}
	all, err := clientcmd.Load(data)
	if err != nil || len(all.Contexts) == 0 { // whose text may quote a secret
		return nil, &OptionError{"kubeconfig", file + " is no kubeconfig, or has no contexts", "name one that kubectl can use"}
	}
	context = cmp.Or(context, all.CurrentContext)
	used := all.Contexts[context]
	if used == nil {
		return nil, &OptionError{"context", fmt.Sprintf("%q does not exist in %s", context, file), "write one of " + discovery.Names(slices.Collect(maps.Keys(all.Contexts)))}
	}
	if used.AuthInfo != "" && all.AuthInfos[used.AuthInfo] == nil { // who would be nobody
		return nil, &OptionError{"kubeconfig", fmt.Sprintf("%s, context %q: user %q does not exist", file, context, used.AuthInfo), "mend the file, or write another context"}
	}
	for _, c := range all.Clusters {
		c.LocationOfOrigin = file
	}
	for _, u := range all.AuthInfos {
		u.LocationOfOrigin = file
	}
	if err := clientcmd.ResolveLocalPaths(all); err != nil {
		return nil, &OptionError{"kubeconfig", err.Error(), "name the file by its whole path"}
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*all, context, nil, nil).ClientConfig()
	if err != nil {
		return nil, &OptionError{"kubeconfig", fmt.Sprintf("%s, context %q: %s", file, context, clean(err.Error())), "mend the file, or write another context"}
	}
	return config, nil
}

// connect makes the clients. Each is made once, since client-go does not share
// the connections of every configuration.
func (f *Finder) connect() (err error) {
	if f.client, err = rest.RESTClientFor(f.config); err != nil {
		return err
	}
	config := rest.CopyConfig(f.config)
	config.DisableCompression = true // profiles are compressed already
	if f.through, err = rest.TransportFor(config); err != nil {
		return err
	}
	config.NextProtos = []string{"http/1.1"}
	f.upgrading, err = rest.TransportFor(config)
	return err
}
