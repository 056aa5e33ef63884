package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"tenants/portcullis"
)

// First level of the topics that all tenants may read.
const notices = "notices"

// Bytes of a tenant's name, and of a principal as the gateway takes it.
const (
	tenantBytesMax  = 64
	subjectBytesMax = 1024
)

// member is whom a token is about.
type member struct {
	subject string
	tenant  string
	isAdmin bool
}

// memberOf reads the claims; the second result is why the token is about no client of ours, a sentence for the log.
func memberOf(settings *settings, token portcullis.VerifiedToken) (member, string) {
	if !isName(token.Subject, subjectBytesMax) {
		return member{}, fmt.Sprintf(
			`"sub" of the token is no name: one has 1 to %d bytes without control characters`, subjectBytesMax)
	}
	claim := settings.tenantClaim
	tenants := token.Values(claim)
	if len(tenants) != 1 {
		return member{}, fmt.Sprintf(`the token has not exactly one value of "%s"`, claim)
	}
	if !isTenant(tenants[0]) {
		return member{}, fmt.Sprintf(`"%s" of the token is no tenant: one has 1 to %d bytes without /, +, # and control `+
			`characters, does not begin with $, and is not "%s"`, claim, tenantBytesMax, notices)
	}
	admin := settings.admin
	isAdmin := admin != nil && slices.Contains(token.Values(admin.Name), admin.Value)
	return member{token.Subject, tenants[0], isAdmin}, ""
}

func isName(text string, bytesMax int) bool {
	return len(text) >= 1 && len(text) <= bytesMax && !strings.ContainsFunc(text, unicode.IsControl)
}

// isTenant says whether a name can be the first level of topics, and nothing else.
func isTenant(name string) bool {
	return isName(name, tenantBytesMax) && !strings.ContainsAny(name, "/+#") &&
		!strings.HasPrefix(name, "$") && name != notices
}

// ownerOf is the first level of a topic or filter.
func ownerOf(topic string) string {
	owner, _, _ := strings.Cut(topic, "/")
	return owner
}
