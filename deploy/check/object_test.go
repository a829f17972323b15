package check

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// object is one rendered object, with the type of its kind.
type object interface {
	metav1.Object
	runtime.Object
}

// objects are a rendering, by "Kind namespace/name".
type objects map[string]object

// ServiceMonitor is what the manifests use of the Prometheus operator's type,
// whose module would bring its whole client.
type ServiceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// DeepCopyObject implements [runtime.Object].
func (s *ServiceMonitor) DeepCopyObject() runtime.Object {
	c := *s
	return &c
}

// scheme has the kinds that may be in deploy/, and no more: another one must
// be added here, and thought about.
func scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, schedulingv1.AddToScheme,
	} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	s.AddKnownTypeWithName(schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}, &ServiceMonitor{})
	return s
}

// decode reads YAML documents as the API server does with strict validation of
// fields: it refuses unknown kinds, unknown fields and fields given twice.
func decode(t testing.TB, text string) (objects, error) {
	t.Helper()
	s := scheme(t)
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Yaml: true, Strict: true})
	out := objects{}
	docs := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		doc, err := docs.Read()
		if err == io.EOF { //nolint:errorlint // the reader returns it bare
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(content(string(doc))) == 0 {
			continue
		}
		obj, _, err := strict.Decode(doc, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, doc)
		}
		o, ok := obj.(object)
		if !ok || o.GetName() == "" {
			return nil, fmt.Errorf("an object without a name:\n%s", doc)
		}
		name := key(o)
		if out[name] != nil {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		out[name] = o
	}
}

func key(o object) string {
	return fmt.Sprintf("%s %s/%s", o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName())
}

// content is a document without comments and separators.
func content(doc string) string {
	var out strings.Builder
	for line := range strings.Lines(doc) {
		if s := strings.TrimSpace(line); s != "" && s != "---" && !strings.HasPrefix(s, "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// of lists the objects of one type, in the order of their names.
func of[T object](objs objects) []T {
	var out []T
	for _, name := range slices.Sorted(maps.Keys(objs)) {
		if o, ok := objs[name].(T); ok {
			out = append(out, o)
		}
	}
	return out
}

// one is the only object of its type.
func one[T object](t testing.TB, objs objects) T {
	t.Helper()
	all := of[T](objs)
	if len(all) != 1 {
		var zero T
		t.Fatalf("%d objects of %T", len(all), zero)
	}
	return all[0]
}

// container is profbot's, in its pod.
func container(t testing.TB, objs objects) (corev1.PodTemplateSpec, corev1.Container) {
	t.Helper()
	pod := one[*appsv1.StatefulSet](t, objs).Spec.Template
	if len(pod.Spec.Containers) != 1 || len(pod.Spec.InitContainers)+len(pod.Spec.EphemeralContainers) != 0 {
		t.Fatal("the pod has other containers than profbot's")
	}
	return pod, pod.Spec.Containers[0]
}
