package kube

import (
	"errors"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
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

// restConfig reads a kubeconfig file, or the service account of the pod that
// profbot runs in. No environment variable but Kubernetes' own is looked at.
func restConfig(file, context string) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if file == "" {
		config, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("profbot does not run in a pod: kubernetes.kubeconfig has to name a file")
		}
	} else {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("kubernetes.kubeconfig: %w", err)
		}
		config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
			&clientcmd.ClientConfigLoadingRules{ExplicitPath: file},
			&clientcmd.ConfigOverrides{CurrentContext: context},
		).ClientConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("credentials of the cluster: %w", err)
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
