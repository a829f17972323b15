package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	gotemplate "text/template"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// instruction is one of a Dockerfile, with continued lines joined.
type instruction struct{ name, args string }

// dockerfile reads the stages of the image's recipe.
func dockerfile(t *testing.T) (stages [][]instruction, global []instruction) {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		if content(line) == "" {
			continue
		}
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		i := instruction{name, strings.Join(strings.Fields(args), " ")}
		switch {
		case name == "FROM":
			stages = append(stages, []instruction{i})
		case len(stages) == 0:
			global = append(global, i)
		default:
			stages[len(stages)-1] = append(stages[len(stages)-1], i)
		}
	}
	return stages, global
}

func argsOf(stage []instruction, name string) (out []string) {
	for _, i := range stage {
		if i.name == name {
			out = append(out, i.args)
		}
	}
	return out
}

// ko is what .ko.yaml has.
type ko struct {
	Base      string   `json:"defaultBaseImage"`
	Platforms []string `json:"defaultPlatforms"`
	Builds    []struct {
		ID      string   `json:"id"`
		Dir     string   `json:"dir"`
		Main    string   `json:"main"`
		Env     []string `json:"env"`
		Flags   []string `json:"flags"`
		Ldflags []string `json:"ldflags"`
	} `json:"builds"`
}

// TestImage: both recipes make the same binary on the same base, and the image
// is what the manifests rely on.
func TestImage(t *testing.T) {
	stages, global := dockerfile(t)
	if len(stages) != 2 {
		t.Fatalf("%d stages", len(stages))
	}
	build, final := stages[0], stages[1]
	text, err := os.ReadFile("../../.ko.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var k ko
	if err := yaml.UnmarshalStrict(text, &k); err != nil || len(k.Builds) != 1 {
		t.Fatalf("%d builds, %v", len(k.Builds), err)
	}
	b := k.Builds[0]

	run := strings.Join(argsOf(build, "RUN"), "\n")
	goBuild := run[strings.Index(run, "go build ")+len("go build "):]
	ldflags := regexp.MustCompile(`-ldflags="([^"]*)"`).FindStringSubmatch(goBuild)
	if ldflags == nil {
		t.Fatalf("no -ldflags in %q", goBuild)
	}
	if d := cmp.Diff(koFlags(t, b.Ldflags, map[string]string{"VERSION": "${VERSION}"}), ldflags[1]); d != "" {
		t.Errorf("linker flags (-.ko.yaml +Dockerfile):\n%s", d)
	}
	if got := koFlags(t, b.Ldflags, nil); !strings.HasSuffix(got, ".stamped=") {
		t.Errorf("without VERSION ko links with %q", got)
	}
	if want := strings.Join(b.Flags, " ") + " "; !strings.HasPrefix(goBuild, want) || !strings.HasSuffix(goBuild, " "+b.Main) {
		t.Errorf("the Dockerfile builds %q, .ko.yaml %q %q", goBuild, b.Flags, b.Main)
	}
	env := strings.Fields(argsOf(build, "ENV")[0])
	if d := cmp.Diff(b.Env, env); d != "" {
		t.Errorf("environment (-.ko.yaml +Dockerfile):\n%s", d)
	}
	if !slices.Contains(env, "CGO_ENABLED=0") || !slices.Contains(b.Flags, "-trimpath") {
		t.Error("the binary is not static, or not reproducible")
	}
	base := ""
	for _, a := range argsOf(global, "ARG") {
		if v, ok := strings.CutPrefix(a, "BASE="); ok {
			base = v
		}
		if v, ok := strings.CutPrefix(a, "GO="); ok {
			mod, err := os.ReadFile("../../go.mod")
			if err != nil {
				t.Fatal(err)
			}
			version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
			if !strings.HasPrefix(v, "golang:"+string(version[1])+"-") {
				t.Errorf("built by %s, go.mod wants %s", v, version[1])
			}
		}
	}
	if base != k.Base || !strings.HasSuffix(base, ":nonroot") || !strings.Contains(base, "distroless/static") {
		t.Errorf("bases %q and %q", base, k.Base)
	}

	pod, c := container(t, overlay(t, "base"))
	user := fmt.Sprintf("%d:%d", *pod.Spec.SecurityContext.RunAsUser, *pod.Spec.SecurityContext.RunAsGroup)
	if got := argsOf(final, "USER"); len(got) != 1 || got[0] != user {
		t.Errorf("the image's user is %v, the pod's %s", got, user)
	}
	var ports []string
	for _, p := range c.Ports {
		ports = append(ports, fmt.Sprint(p.ContainerPort))
	}
	if got := argsOf(final, "EXPOSE"); len(got) != 1 || got[0] != strings.Join(ports, " ") {
		t.Errorf("the image exposes %v, the pod %v", got, ports)
	}
	if got := argsOf(final, "ENTRYPOINT"); len(got) != 1 || got[0] != `["/usr/local/bin/profbot"]` || c.Command != nil || c.Args[0] != "serve" {
		t.Errorf("entry point %v, command %v, args %v", got, c.Command, c.Args)
	}
	for _, i := range final {
		if i.name == "RUN" || i.name == "SHELL" || i.name == "ADD" {
			t.Errorf("%s in the final image, which has no shell", i.name)
		}
	}
	for _, label := range []string{"title", "description", "source", "licenses", "version"} {
		if !strings.Contains(strings.Join(argsOf(final, "LABEL"), " "), "org.opencontainers.image."+label+"=") {
			t.Errorf("no label %s", label)
		}
	}
}

// TestTrial: ko finds what overlay trial has it build, with the settings of
// .ko.yaml, and that overlay alone profiles pods without an opt-in.
func TestTrial(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	main := "ko://" + string(regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(mod)[1]) + "/cmd/profbot"
	text, err := os.ReadFile("../../.ko.yaml")
	if err != nil || !strings.Contains(string(text), "\n    main: ./cmd/profbot\n") {
		t.Fatalf("%v in:\n%s", err, text)
	}
	seen := 0
	for name, objs := range renderings(t) {
		_, c := container(t, objs)
		cfg := load(t, objs)
		if !strings.Contains(name, "trial") {
			if !cfg.Kubernetes.OptIn && name != "chart with everything" || strings.HasPrefix(c.Image, "ko://") {
				t.Errorf("%s: opt-in %t, image %s", name, cfg.Kubernetes.OptIn, c.Image)
			}
			continue
		}
		seen++
		if cfg.Kubernetes.OptIn || cfg.Capture.Pods != 1 || cfg.Capture.Simultaneous != 2 || c.Image != main {
			t.Errorf("%s: %+v, %+v, image %s", name, cfg.Kubernetes, cfg.Capture, c.Image)
		}
	}
	if seen != 2 {
		t.Errorf("%d trials", seen)
	}
}

// koFlags fills in flags as ko does: a variable that is not set is an error, as
// it is there.
func koFlags(t *testing.T, flags []string, env map[string]string) string {
	t.Helper()
	var out strings.Builder
	tmpl, err := gotemplate.New("flags").Option("missingkey=error").Parse(strings.Join(flags, " "))
	if err == nil {
		err = tmpl.Execute(&out, map[string]any{"Env": env})
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestVersionIsStamped: the linker sets a variable that exists.
func TestVersionIsStamped(t *testing.T) {
	src, err := os.ReadFile("../../internal/version/version.go")
	if err != nil {
		t.Fatal(err)
	}
	ko, err := os.ReadFile("../../.ko.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(ko), "github.com/profbot/profbot/internal/version.stamped=") || !strings.Contains(string(src), "\nvar stamped string\n") {
		t.Error("the linker flag and the variable have parted")
	}
}

// TestBuildContext: the Dockerfile copies every module that the build needs,
// and the list of what is left out keeps what is embedded.
func TestBuildContext(t *testing.T) {
	stages, _ := dockerfile(t)
	copies := strings.Join(argsOf(stages[0], "COPY"), "\n")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	local := regexp.MustCompile(`(?m)=> \./(\S+)$`).FindAllStringSubmatch(string(mod), -1)
	if len(local) == 0 {
		t.Fatal("no module of this repository is replaced: is the expression wrong?")
	}
	for _, m := range local {
		for _, file := range []string{"go.mod", "go.sum"} {
			path := m[1] + "/" + file
			if _, err := os.Stat("../../" + path); err == nil && !strings.Contains(copies, path) {
				t.Errorf("the Dockerfile does not copy %s", path)
			}
		}
	}
	ignore, err := os.ReadFile("../Dockerfile.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	rules := strings.Fields(content(string(ignore)))
	if rules[0] != "*" {
		t.Error("the build reads whatever lies around")
	}
	embedded := regexp.MustCompile(`(?m)^\s*//go:embed (.*)$`)
	err = filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range embedded.FindAllSubmatch(src, -1) {
			for _, pattern := range strings.Fields(string(m[1])) {
				file := strings.TrimPrefix(filepath.Join(filepath.Dir(path), pattern), "../../")
				for _, rule := range rules {
					if strings.HasPrefix(file, rule+"/") || strings.Contains(file, "testdata") {
						if !strings.HasPrefix(file, "internal/analysis/lab") {
							t.Errorf("%s is embedded and left out by %s", file, rule)
						}
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
