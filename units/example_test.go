package units_test

import (
	"fmt"

	"github.com/holdfast-go/holdfast/units"
)

func ExampleRender() {
	pair, err := units.Render(units.Description{
		Name:    "app",
		Kind:    units.KindSocket,
		Sockets: []units.Socket{{Name: "http", Network: "tcp", Address: ":80"}},
		Command: []string{"/usr/bin/app", "--greeting", "100% $sure"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, u := range pair {
		fmt.Println(u.File)
		for _, o := range u.Options {
			if o.Name == "ListenStream" || o.Name == "ExecStart" {
				fmt.Printf("  [%s] %s=%s\n", o.Section, o.Name, o.Value)
			}
		}
	}
	// Output:
	// app.socket
	//   [Socket] ListenStream=80
	// app.service
	//   [Service] ExecStart=/usr/bin/app --greeting "100%% $$sure"
}

func ExampleParse() {
	u, err := units.Parse("app.service", "[Service]\n# Why it is so.\nExecStart=/usr/bin/app \\\n\t--quiet\nnonsense\n")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range u.Options {
		fmt.Printf("%s:%d: %s=%s (%s)\n", o.File, o.Line, o.Name, o.Value, o.Comment)
	}
	for _, e := range u.Ignored {
		fmt.Println(e)
	}
	// Output:
	// app.service:3: ExecStart=/usr/bin/app  	--quiet (Why it is so.)
	// app.service:5: it is neither an assignment (want NAME=VALUE) nor a section: "nonsense"
}
