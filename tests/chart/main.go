// Command chart renders and lints the Helm chart by Helm's own code, and loads a compose file by
// Docker Compose's, as `helm template`, `helm lint` and `docker compose config` would.
//
//	chart render FOLDER KUBERNETES VALUES...   manifests of the release, as one stream of YAML
//	chart lint FOLDER KUBERNETES VALUES...     one finding a line
//	chart compose FILE                         the project, variables filled in, as YAML
//
// Exit code 1 tells that what it was given is wrong, and stderr in what.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint/rules"
	"helm.sh/helm/v3/pkg/lint/support"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	switch {
	case len(words) >= 3 && words[0] == "render":
		return render(words[1], words[2], words[3:])
	case len(words) >= 3 && words[0] == "lint":
		return lint(words[1], words[2], words[3:])
	case len(words) == 2 && words[0] == "compose":
		return compose(words[1])
	}
	return errors.New("usage: chart render|lint FOLDER KUBERNETES VALUES... | compose FILE")
}

// values merges the files, later ones over earlier ones.
func values(files []string) (map[string]any, error) {
	merged := map[string]any{}
	for _, file := range files {
		read, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		merged = chartutil.CoalesceTables(read.AsMap(), merged)
	}
	return merged, nil
}

func render(folder, kubernetes string, files []string) error {
	chart, err := loader.Load(folder)
	if err != nil {
		return err
	}
	given, err := values(files)
	if err != nil {
		return err
	}
	version, err := chartutil.ParseKubeVersion(kubernetes)
	if err != nil {
		return err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	release := chartutil.ReleaseOptions{
		Name: "early", Namespace: "credit", Revision: 1, IsInstall: true,
	}
	all, err := chartutil.ToRenderValues(chart, given, release, capabilities)
	if err != nil {
		return err
	}
	manifests, err := engine.Render(chart, all)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(manifests))
	for name := range manifests {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text := strings.TrimSpace(manifests[name])
		if text == "" || filepath.Ext(name) != ".yaml" {
			continue
		}
		fmt.Printf("---\n# Source: %s\n%s\n", name, text)
	}
	return nil
}

func lint(folder, kubernetes string, files []string) error {
	given, err := values(files)
	if err != nil {
		return err
	}
	version, err := chartutil.ParseKubeVersion(kubernetes)
	if err != nil {
		return err
	}
	linter := support.Linter{ChartDir: folder}
	rules.Chartfile(&linter)
	rules.ValuesWithOverrides(&linter, given)
	rules.TemplatesWithKubeVersion(&linter, given, "credit", version)
	rules.Dependencies(&linter)
	for _, message := range linter.Messages {
		if message.Severity > support.InfoSev {
			fmt.Println(message)
		}
	}
	return nil
}

func compose(file string) error {
	options, err := cli.NewProjectOptions(
		[]string{file}, cli.WithOsEnv, cli.WithResolvedPaths(false), cli.WithProfiles([]string{"*"}),
	)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalYAML()
	if err != nil {
		return err
	}
	fmt.Print(string(text))
	return nil
}
