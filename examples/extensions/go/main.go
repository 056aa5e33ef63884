// Tenants on one gateway, each with its own topics: the example in Go. ../README.md tells what it does and has the same in other
// languages; `cargo xtask examples go` builds it to target/languages/go.wasm.
//
// settings.go reads the configuration, tenant.go reads a token; here are the hooks. The package portcullis beside them is what an
// extension in Go can be built on: the contract as Go types, and the canonical ABI.
package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"tenants/portcullis"
)

// How long the gateway remembers that an administrator may publish to a tenant.
const adminTTLMs = 60_000

// tenants is what an instance is; its settings stay the same for as long as it lives.
type tenants struct {
	settings settings
}

func init() { portcullis.Serve(&tenants{}) }

// A component has no main; the linker wants one.
func main() {}

func (t *tenants) Init() (err error) {
	t.settings, err = readSettings()
	return err
}

func (t *tenants) Authenticate(
	client portcullis.Client, _ portcullis.Connection, password *[]byte,
) (portcullis.Outcome, error) {
	if password == nil {
		return portcullis.Abstain, nil
	}
	if !utf8.Valid(*password) {
		return reject(portcullis.BadUserNameOrPassword, "the password is no token: it is not UTF-8"), nil
	}
	verified, failure := portcullis.VerifyToken(t.settings.keySet, string(*password))
	if failure != nil {
		return t.withoutToken(failure)
	}
	member, why := memberOf(&t.settings, verified)
	if why != "" {
		return reject(portcullis.NotAuthorized, why), nil
	}
	if !strings.HasPrefix(client.ClientID, member.tenant+"-") {
		// It could take over the session of another tenant's client.
		why := fmt.Sprintf(`client identifier "%s" does not begin with "%s-"`, client.ClientID, member.tenant)
		return reject(portcullis.ClientIdentifierNotValid, why), nil
	}
	attributes := []portcullis.Property{{Name: "tenant", Value: member.tenant}}
	if member.isAdmin {
		attributes = append(attributes, portcullis.Property{Name: "role", Value: "admin"})
		portcullis.Log(portcullis.Info, "administrator let in",
			portcullis.Property{Name: "client", Value: client.ClientID},
			portcullis.Property{Name: "tenant", Value: member.tenant})
	}
	return portcullis.Accept(portcullis.Grant{
		Principal: member.subject, Attributes: attributes, ValidForMs: verified.ValidForMs,
	}), nil
}

// withoutToken answers where there is no verified token: a refusal, or a failure that is no verdict.
func (t *tenants) withoutToken(failure *portcullis.TokenError) (portcullis.Outcome, error) {
	switch failure.Kind {
	case portcullis.TokenUnavailable:
		return portcullis.Abstain, portcullis.Unavailable(failure.Why)
	case portcullis.TokenUnknownKeySet:
		name := t.settings.keySet
		return portcullis.Abstain,
			fmt.Errorf(`there is no key set "%s"; add [extensions.NAME.key-sets.%s] to gateway.toml`, name, name)
	default:
		return reject(portcullis.BadUserNameOrPassword, failure.Why), nil
	}
}

func (t *tenants) Permissions(_ portcullis.Client, conn portcullis.Connection) (*portcullis.PermissionSet, error) {
	if _, known := conn.Attribute("tenant"); !known {
		// Another authenticator of the chain let it in.
		return nil, nil
	}
	own := portcullis.Rule{
		Actions: portcullis.Publish | portcullis.Subscribe, Filter: "${attr.tenant}/#",
		MaxQoS: portcullis.ExactlyOnce, Retain: true, Label: "own topics",
	}
	public := portcullis.Rule{
		Actions: portcullis.Subscribe, Filter: notices + "/#",
		MaxQoS: portcullis.AtLeastOnce, Retain: true, Label: notices,
	}
	// Whatever else a client wants is another tenant's: that takes an administrator, and a no has a reason.
	return &portcullis.PermissionSet{Rules: []portcullis.Rule{own, public}, Fallback: portcullis.FallbackAsk}, nil
}

func (t *tenants) AuthorizePublish(
	_ portcullis.Client, conn portcullis.Connection, what portcullis.Publication,
) (portcullis.Verdict, error) {
	tenant, known := conn.Attribute("tenant")
	if !known {
		return portcullis.Verdict{Opinion: portcullis.Abstains}, nil
	}
	owner := ownerOf(what.Topic)
	switch {
	case strings.HasPrefix(owner, "$"):
		return deny(`topics below "%s" are the gateway's`, owner), nil
	case !isAdmin(conn):
		return deny(`topic "%s" is of "%s", and the client is of "%s"`, what.Topic, owner, tenant), nil
	case what.Retain:
		return deny(`an administrator leaves no retained messages with "%s"`, owner), nil
	}
	filter := owner + "/#"
	validity := portcullis.Validity{TTLMs: adminTTLMs, Filter: &filter, MaxQoS: portcullis.ExactlyOnce}
	return portcullis.Verdict{Opinion: portcullis.Allows, Validity: &validity}, nil
}

func (t *tenants) AuthorizeSubscribe(
	_ portcullis.Client, conn portcullis.Connection, what []portcullis.Subscription,
) ([]portcullis.Verdict, error) {
	tenant, known := conn.Attribute("tenant")
	admin := isAdmin(conn)
	verdicts := make([]portcullis.Verdict, 0, len(what))
	for _, entry := range what {
		if !known {
			verdicts = append(verdicts, portcullis.Verdict{Opinion: portcullis.Abstains})
			continue
		}
		verdicts = append(verdicts, subscription(entry.Filter, tenant, admin))
	}
	return verdicts, nil
}

func subscription(filter, tenant string, admin bool) portcullis.Verdict {
	owner := ownerOf(filter)
	switch {
	case strings.HasPrefix(owner, "$"):
		return deny(`topics below "%s" are the gateway's`, owner)
	case admin:
		return portcullis.Verdict{Opinion: portcullis.Allows}
	case owner == "+" || owner == "#":
		return deny(`filter "%s" reaches others than "%s"`, filter, tenant)
	default:
		return deny(`filter "%s" is of "%s", and the client is of "%s"`, filter, owner, tenant)
	}
}

func isAdmin(conn portcullis.Connection) bool {
	role, _ := conn.Attribute("role")
	return role == "admin"
}

func reject(code uint8, why string) portcullis.Outcome {
	return portcullis.Reject(portcullis.Denial{Code: code, Reason: why})
}

func deny(format string, words ...any) portcullis.Verdict {
	return portcullis.Verdict{
		Opinion: portcullis.Denies, Code: portcullis.NotAuthorized, Reason: fmt.Sprintf(format, words...),
	}
}
