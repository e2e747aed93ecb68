// Reads a JSON list of HCL texts on stdin, and prints for each what HashiCorp's own parser makes of it: its tree, or null.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
)

func main() {
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		panic(err)
	}
	trees := []any{}
	for _, text := range texts {
		trees = append(trees, tree(text))
	}
	if err := json.NewEncoder(os.Stdout).Encode(trees); err != nil {
		panic(err)
	}
}

func tree(text string) (result any) {
	// The parser panics at numbers that do not fit.
	defer func() {
		if recover() != nil {
			result = nil
		}
	}()
	file, err := hcl.ParseBytes([]byte(text))
	if err != nil {
		return nil
	}
	return node(file.Node)
}

func node(n ast.Node) any {
	switch v := n.(type) {
	case *ast.ObjectType:
		return items(v.List)
	case *ast.ObjectList:
		return items(v)
	case *ast.ListType:
		all := []any{}
		for _, one := range v.List {
			all = append(all, node(one))
		}
		return map[string]any{"list": all}
	case *ast.LiteralType:
		return map[string]any{"value": v.Token.Value()}
	}
	panic(fmt.Sprintf("%T", n))
}

func items(list *ast.ObjectList) any {
	all := []any{}
	for _, item := range list.Items {
		value := node(item.Val)
		for i := len(item.Keys) - 1; i > 0; i-- {
			value = map[string]any{"items": []any{[]any{item.Keys[i].Token.Value(), value}}}
		}
		all = append(all, []any{item.Keys[0].Token.Value(), value})
	}
	return map[string]any{"items": all}
}
