package tools

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-go/holdfast/units/check"
)

// What of SARIF 2.1.0 code hosts read
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		URI   string      `json:"informationUri"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string      `json:"id"`
		Full    sarifText   `json:"fullDescription"`
		Default sarifConfig `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		Rule      string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
	}
)

// sarifLevels are the severities in SARIF's words.
var sarifLevels = map[check.Severity]string{check.Loss: "error", check.Ineffective: "warning", check.Unwise: "note"}

// sarif is the report as code hosts take it. Files below the working folder are relative
// to it, as a host knows them.
func (r Report) sarif() sarifLog {
	driver := sarifDriver{Name: "handoffd check", URI: "https://github.com/holdfast-go/holdfast"}
	for _, rule := range check.Rules() {
		driver.Rules = append(driver.Rules, sarifRule{rule.ID, sarifText{rule.Doc}, sarifConfig{sarifLevels[rule.Severity]}})
	}
	run := sarifRun{Tool: sarifTool{driver}, Results: []sarifResult{}}
	folder, _ := os.Getwd()
	for _, f := range r.Findings {
		run.Results = append(run.Results, sarifResult{
			Rule: f.Rule, Level: sarifLevels[f.Severity], Message: sarifText{f.Reason + ". Mend: " + f.Mend + "."},
			Locations: []sarifLocation{{sarifPhysical{sarifArtifact{sarifURI(folder, f.File)}, sarifRegion{max(f.Line, 1)}}}},
		})
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// sarifURI is the address of a file, relative where it is below the folder.
func sarifURI(folder, path string) string {
	escape := func(path string) string {
		return strings.NewReplacer("%", "%25", " ", "%20", "#", "%23", "?", "%3F").Replace(path)
	}
	if rel, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(rel) && filepath.IsAbs(path) {
		return escape(rel)
	}
	if filepath.IsAbs(path) {
		return "file://" + escape(path)
	}
	return escape(path)
}
