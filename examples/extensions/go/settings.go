package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tenants/portcullis"
)

var keys = []string{"admin-claim", "key-set", "tenant-claim"}

// settings is what the operator says in [extensions.NAME.config].
type settings struct {
	keySet      string
	tenantClaim string
	// Claim, and the value of it that makes an administrator; nil where nobody is one.
	admin *portcullis.Property
}

// readSettings tells all faults at once.
func readSettings() (settings, error) {
	var faults, unknown []string
	for _, key := range portcullis.ConfigKeys() {
		if !slices.Contains(keys, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		faults = append(faults, fmt.Sprintf(`"%s" is not a setting of this extension; there are: %s`,
			strings.Join(unknown, `", "`), strings.Join(keys, ", ")))
	}
	read := settings{tenantClaim: "tenant"}
	if read.keySet, _ = portcullis.Config("key-set"); read.keySet == "" {
		faults = append(faults, `"key-set" is not set; name one of [extensions.NAME.key-sets]`)
	}
	if claim, stated := portcullis.Config("tenant-claim"); stated {
		read.tenantClaim = claim
	}
	if text, stated := portcullis.Config("admin-claim"); stated {
		claim, value, _ := strings.Cut(text, "=")
		if claim == "" || value == "" {
			faults = append(faults,
				fmt.Sprintf(`"admin-claim" is "%s"; write CLAIM=VALUE, such as roles=site-admin`, text))
		}
		read.admin = &portcullis.Property{Name: claim, Value: value}
	}
	if len(faults) > 0 {
		return settings{}, errors.New(strings.Join(faults, "; "))
	}
	return read, nil
}
