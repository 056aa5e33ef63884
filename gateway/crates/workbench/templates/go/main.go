// Lets in the devices of one site, and gives each its own topics.
//
// Settings: `site`, the first level of all topics; `token`, what devices show as their password.
// Grants: `config`, `credentials`, `log`.
//
// The package portcullis beside this file has the contract as Go types and speaks the canonical ABI; add to it what it lacks.
// `crypto/rand` and `time.Now` are not for extensions: use `random` and `clock` of the gateway.
package main

import (
	"fmt"
	"slices"
	"strings"

	"my-extension/portcullis"
)

// Bytes of an alarm at most: a rule could not say that, so the hook is asked.
const alarmBytesMax = 1024

var keys = []string{"site", "token"}

// gate is what an instance is; its settings stay the same for as long as it lives.
type gate struct {
	site  string
	token []byte
}

func init() { portcullis.Serve(&gate{}) }

// A component has no main; the linker wants one.
func main() {}

func (g *gate) Init() error {
	for _, key := range portcullis.ConfigKeys() {
		if !slices.Contains(keys, key) {
			return fmt.Errorf(`"%s" is not a setting of this extension`, key)
		}
	}
	for _, key := range keys {
		value, stated := portcullis.Config(key)
		if !stated {
			return fmt.Errorf(`"%s" is not set; put it under [extensions.NAME.config]`, key)
		}
		if key == "site" {
			g.site = value
		} else {
			g.token = []byte(value)
		}
	}
	portcullis.Log(portcullis.Info, "ready", portcullis.Property{Name: "site", Value: g.site})
	return nil
}

func (g *gate) Authenticate(
	client portcullis.Client, _ portcullis.Connection, password *[]byte,
) (portcullis.Outcome, error) {
	if password == nil {
		return portcullis.Abstain, nil
	}
	if !portcullis.Equal(*password, g.token) {
		portcullis.Log(portcullis.Warn, "wrong token", portcullis.Property{Name: "client", Value: client.ClientID})
		return reject(portcullis.BadUserNameOrPassword, "the token is wrong"), nil
	}
	if prefix := g.site + "-"; !strings.HasPrefix(client.ClientID, prefix) {
		why := fmt.Sprintf(`client identifier "%s" does not begin with "%s"`, client.ClientID, prefix)
		return reject(portcullis.ClientIdentifierNotValid, why), nil
	}
	attributes := []portcullis.Property{{Name: "site", Value: g.site}}
	return portcullis.Accept(portcullis.Grant{Principal: client.ClientID, Attributes: attributes}), nil
}

func (g *gate) Permissions(_ portcullis.Client, conn portcullis.Connection) (*portcullis.PermissionSet, error) {
	if _, known := conn.Attribute("site"); !known {
		// Another authenticator of the chain let the client in.
		return nil, nil
	}
	// Checked by the gateway itself, without a call.
	rules := []portcullis.Rule{
		allow(portcullis.Publish, g.site+"/${client-id}/#"),
		allow(portcullis.Subscribe, g.site+"/commands/${client-id}"),
	}
	// What no rule speaks of is asked about below.
	return &portcullis.PermissionSet{Rules: rules, Fallback: portcullis.FallbackAsk}, nil
}

func (g *gate) AuthorizePublish(
	_ portcullis.Client, _ portcullis.Connection, what portcullis.Publication,
) (portcullis.Verdict, error) {
	switch {
	case what.Topic != g.site+"/alarms":
		return deny(`topic "%s" is not the client's`, what.Topic), nil
	case what.PayloadSize > alarmBytesMax:
		return deny("an alarm has at most %d bytes", alarmBytesMax), nil
	}
	return portcullis.Verdict{Opinion: portcullis.Allows}, nil
}

func (g *gate) AuthorizeSubscribe(
	_ portcullis.Client, _ portcullis.Connection, what []portcullis.Subscription,
) ([]portcullis.Verdict, error) {
	verdicts := make([]portcullis.Verdict, 0, len(what))
	for _, entry := range what {
		verdicts = append(verdicts, deny(`filter "%s" is not the client's`, entry.Filter))
	}
	return verdicts, nil
}

func allow(actions portcullis.Actions, filter string) portcullis.Rule {
	return portcullis.Rule{Actions: actions, Filter: filter, MaxQoS: portcullis.ExactlyOnce, Retain: true}
}

func reject(code uint8, why string) portcullis.Outcome {
	return portcullis.Reject(portcullis.Denial{Code: code, Reason: why})
}

func deny(format string, words ...any) portcullis.Verdict {
	return portcullis.Verdict{
		Opinion: portcullis.Denies, Code: portcullis.NotAuthorized, Reason: fmt.Sprintf(format, words...),
	}
}
