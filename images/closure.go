package images

import (
	"fmt"
	"slices"
	"strings"
)

// closeOver loads the wanted modules that the tree has, and all that they
// depend on, sorted by name. What is built in counts as there. A softdep that is
// not there is no error: many name an alias of the crypto interface that a
// built-in serves.
func closeOver(tree *moduleTree, wanted []string) ([]module, error) {
	chosen := map[string]module{}
	queue := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return tree.files[name] == "" })
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if _, done := chosen[name]; done {
			continue
		}
		m, err := tree.load(name)
		if err != nil {
			return nil, err
		}
		chosen[name] = m
		needs, err := tree.needs(m)
		if err != nil {
			return nil, err
		}
		queue = append(queue, needs...)
	}
	modules := make([]module, 0, len(chosen))
	for _, m := range chosen {
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Name, b.Name) })
	return modules, nil
}

// needs lists the modules with a file that one module brings along.
func (t *moduleTree) needs(m module) ([]string, error) {
	var names []string
	for _, name := range m.Depends {
		if !t.has(name) {
			return nil, fmt.Errorf("choose modules: %s needs %s, which the kernel package does not have", m.Name, name)
		}
	}
	for _, name := range slices.Concat(m.Depends, m.Pre, m.Post) {
		if t.files[name] != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// requirements lists everything that a module's symbols come from, nearest
// first, as depmod does: loading the list backwards works. Softdeps are not in
// it; they are wishes, and may point in circles.
func requirements(m module, byName map[string]module) ([]string, error) {
	var order []string
	done := map[string]bool{}
	var walk func(m module, above []string) error
	walk = func(m module, above []string) error {
		above = append(above, m.Name)
		for _, name := range m.Depends {
			need, here := byName[name]
			if slices.Contains(above, name) {
				return fmt.Errorf("order modules: %s -> %s: a module may not need itself", strings.Join(above, " -> "), name)
			}
			if !here || done[name] {
				continue
			}
			if err := walk(need, above); err != nil {
				return err
			}
			done[name] = true
			order = append(order, name)
		}
		return nil
	}
	err := walk(m, nil)
	slices.Reverse(order)
	return order, err
}
