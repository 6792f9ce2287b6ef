// Judge tells what the tools of GitOps think of the health of objects: kstatus, its fork in Flux and Helm 4, Flux's linter of
// conditions, Flux's evaluator of healthCheckExprs, and a health script in the Lua machine of Argo CD. And it reads manifests
// for Flux with Flux's own types.
//
// One JSON document on standard input, one on standard output; touches nothing else. What is asked:
//
//	objects      the objects, as an API server gives them
//	scripts      by name, a health script for Argo CD
//	actions      by name, a resource action's script for Argo CD
//	expressions  by name, healthCheckExprs for Flux: {current, failed, inProgress}
//	manifests    for Flux; one with a field that Flux does not know ends it with an error
//
// The answer has one verdict for each object, in order.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	fluxstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomization "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/runtime/conditions/check"
	source "github.com/fluxcd/source-controller/api/v1"
	lua "github.com/yuin/gopher-lua"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kerrors "k8s.io/apimachinery/pkg/util/errors"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type question struct {
	Objects     []*unstructured.Unstructured                `json:"objects"`
	Scripts     map[string]string                           `json:"scripts"`
	Actions     map[string]string                           `json:"actions"`
	Expressions map[string]kustomize.HealthCheckExpressions `json:"expressions"`
	Manifests   []json.RawMessage                           `json:"manifests"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type verdict struct {
	Kstatus     health            `json:"kstatus"`
	FluxKstatus health            `json:"fluxKstatus"`
	FluxFails   []string          `json:"fluxFails"`
	FluxWarns   []string          `json:"fluxWarns"`
	Scripts     map[string]health `json:"scripts"`
	Actions     map[string]any    `json:"actions"`
	Expressions map[string]string `json:"expressions"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "failed to judge:", err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	if err := strictly(json.NewDecoder(os.Stdin), &asked); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	for number, manifest := range asked.Manifests {
		if err := read(manifest); err != nil {
			return fmt.Errorf("manifest %d: %w", number, err)
		}
	}
	verdicts := []verdict{}
	for number, object := range asked.Objects {
		judged, err := judge(object, &asked)
		if err != nil {
			return fmt.Errorf("object %d (%s): %w", number, object.GetName(), err)
		}
		verdicts = append(verdicts, judged)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func strictly(decoder *json.Decoder, into any) error {
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// Into the type that Flux has for it.
func read(manifest []byte) error {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(manifest, &kind); err != nil {
		return err
	}
	types := map[string]any{
		source.GroupVersion.String() + " " + source.GitRepositoryKind:               &source.GitRepository{},
		helm.GroupVersion.String() + " " + helm.HelmReleaseKind:                     &helm.HelmRelease{},
		kustomization.GroupVersion.String() + " " + kustomization.KustomizationKind: &kustomization.Kustomization{},
	}
	typed, known := types[kind.APIVersion+" "+kind.Kind]
	if !known {
		return fmt.Errorf("%s %s is none of Flux's", kind.APIVersion, kind.Kind)
	}
	return strictly(json.NewDecoder(bytes.NewReader(manifest)), typed)
}

func judge(object *unstructured.Unstructured, asked *question) (verdict, error) {
	judged := verdict{Scripts: map[string]health{}, Actions: map[string]any{}, Expressions: map[string]string{}}
	result, err := status.Compute(object)
	if err != nil {
		return judged, fmt.Errorf("kstatus: %w", err)
	}
	judged.Kstatus = health{result.Status.String(), result.Message}
	forked, err := fluxstatus.Compute(object)
	if err != nil {
		return judged, fmt.Errorf("Flux's kstatus: %w", err)
	}
	judged.FluxKstatus = health{forked.Status.String(), forked.Message}
	judged.FluxFails, judged.FluxWarns = lint(object)
	for name, expressions := range asked.Expressions {
		evaluator, err := cel.NewStatusEvaluator(&expressions)
		if err != nil {
			return judged, fmt.Errorf("healthCheckExprs %s: %w", name, err)
		}
		result, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			return judged, fmt.Errorf("healthCheckExprs %s: %w", name, err)
		}
		judged.Expressions[name] = result.Status.String()
	}
	for name, script := range asked.Scripts {
		told, err := argoHealth(object, script)
		if err != nil {
			return judged, fmt.Errorf("health script %s: %w", name, err)
		}
		judged.Scripts[name] = told
	}
	for name, script := range asked.Actions {
		table, err := argoRun(object, script)
		if err != nil {
			return judged, fmt.Errorf("action %s: %w", name, err)
		}
		judged.Actions[name] = fromLua(table)
	}
	return judged, nil
}

// What Flux's own controllers are held to in its tests.
func lint(object *unstructured.Unstructured) (fails, warns []string) {
	checker := check.NewChecker(nil, &check.Conditions{
		NegativePolarity: []string{"Stalled", "Reconciling"},
		PositivePolarity: []string{"Ready", "Authorized", "EndpointHealthy", "LedgerIntact"},
	})
	checker.DisableFetch = true
	fail, warn := checker.Check(context.Background(), conditions.UnstructuredGetter(object))
	return texts(fail), texts(warn)
}

func texts(err error) []string {
	all := []string{}
	var many kerrors.Aggregate
	switch {
	case err == nil:
	case errors.As(err, &many):
		for _, one := range many.Errors() {
			all = append(all, one.Error())
		}
	default:
		all = append(all, err.Error())
	}
	return all
}

// What a health script may answer; anything else Argo CD shows as Unknown.
var argoStatuses = map[string]bool{
	"Healthy": true, "Progressing": true, "Suspended": true, "Degraded": true, "Missing": true, "Unknown": true,
}

func argoHealth(object *unstructured.Unstructured, script string) (health, error) {
	table, err := argoRun(object, script)
	if err != nil {
		return health{}, err
	}
	told := health{}
	told.Status = lua.LVAsString(table.RawGetString("status"))
	told.Message = lua.LVAsString(table.RawGetString("message"))
	if !argoStatuses[told.Status] {
		return health{}, fmt.Errorf("%q is no health status", told.Status)
	}
	return told, nil
}

// Runs a script as Argo CD does unless an administrator opens the libraries: base, package and table, of os only time and
// date and only by require, no string, math, io or debug, the object as the global obj, one second.
func argoRun(object *unstructured.Unstructured, script string) (*lua.LTable, error) {
	machine := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer machine.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		machine.Push(machine.NewFunction(library.open))
		machine.Push(lua.LString(library.name))
		machine.Call(1, 0)
	}
	machine.PreloadModule(lua.OsLibName, safeOs)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	machine.SetContext(ctx)
	machine.SetGlobal("obj", toLua(machine, object.Object))
	if err := machine.DoString(script); err != nil {
		return nil, err
	}
	table, ok := machine.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("it returned a %s, not a table", machine.Get(-1).Type())
	}
	return table, nil
}

// The library's own os, all but two functions taken out.
func safeOs(machine *lua.LState) int {
	machine.Push(machine.NewFunction(lua.OpenOs))
	machine.Push(lua.LString(lua.OsLibName))
	machine.Call(1, 1)
	whole := machine.CheckTable(-1)
	machine.SetGlobal(lua.OsLibName, lua.LNil)
	safe := machine.NewTable()
	for _, name := range []string{"time", "date"} {
		safe.RawSetString(name, whole.RawGetString(name))
	}
	machine.Push(safe)
	return 1
}

func toLua(machine *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := machine.NewTable()
		for _, item := range value {
			table.Append(toLua(machine, item))
		}
		return table
	case map[string]any:
		table := machine.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(machine, item))
		}
		return table
	default:
		return lua.LNil
	}
}

func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LString:
		return string(value)
	case lua.LNumber:
		return float64(value)
	case *lua.LTable:
		// an empty table is an empty list, here as there
		if value.Len() > 0 || isEmpty(value) {
			list := []any{}
			value.ForEach(func(_, item lua.LValue) { list = append(list, fromLua(item)) })
			return list
		}
		object := map[string]any{}
		value.ForEach(func(key, item lua.LValue) { object[lua.LVAsString(key)] = fromLua(item) })
		return object
	default:
		return nil
	}
}

func isEmpty(table *lua.LTable) bool {
	key, _ := table.Next(lua.LNil)
	return key == lua.LNil
}
