// Package portcullis is the contract in Go, as far as the example and the template need it: the hooks `authenticator` and
// `authorizer`, and of the gateway `config`, `credentials` (tokens and comparison) and `log`.
//
// contract.go has the types, hooks.go what the component exports, host.go what it imports, memory.go how both lie in memory. The
// functions and their layouts are those of the Canonical ABI of the component model for wit/gateway.wit.
package portcullis

// Reason codes of MQTT 5.0 that a hook has use for.
const (
	ClientIdentifierNotValid = 0x85
	BadUserNameOrPassword    = 0x86
	NotAuthorized            = 0x87
)

// Extension is what Serve connects to the gateway.
type Extension interface {
	// Init is called once in each new instance, before any hook. The error goes to the operator.
	Init() error
	// Authenticate says who a client is; password is nil where it sent none.
	Authenticate(client Client, conn Connection, password *[]byte) (Outcome, error)
	// Permissions says what a client may do; nil leaves that to the next extension.
	Permissions(client Client, conn Connection) (*PermissionSet, error)
	// AuthorizePublish is asked where a permission set says so.
	AuthorizePublish(client Client, conn Connection, what Publication) (Verdict, error)
	// AuthorizeSubscribe is asked likewise, and gives a verdict for each entry.
	AuthorizeSubscribe(client Client, conn Connection, what []Subscription) ([]Verdict, error)
}

// Unavailable is the error of a hook that may succeed later; every other error says that the extension is broken.
type Unavailable string

func (u Unavailable) Error() string { return string(u) }

// Client is who is calling. A name that is nil is not there.
type Client struct {
	ConnectionID uint64
	ClientID     string
	Username     *string
	Principal    *string
}

// Property is a name and a value.
type Property struct{ Name, Value string }

// Outcome is one of Abstain, Accept(...) and Reject(...).
type Outcome struct {
	accept *Grant
	reject *Denial
}

// Abstain leaves the client to the next extension.
var Abstain = Outcome{}

// Accept lets the client in.
func Accept(grant Grant) Outcome { return Outcome{accept: &grant} }

// Reject refuses the client.
func Reject(denial Denial) Outcome { return Outcome{reject: &denial} }

// Grant is who a client is.
type Grant struct {
	Principal  string
	Attributes []Property
	// Nil leaves it to the authorizers of the chain.
	Permissions *PermissionSet
	// Nil for ever.
	ValidForMs *uint64
}

// Denial is why a client is refused.
type Denial struct {
	Code   uint8
	Reason string
}

// QoS is how often a message may be delivered.
type QoS uint8

const (
	AtMostOnce QoS = iota
	AtLeastOnce
	ExactlyOnce
)

// Actions are what a rule is about, joined with |.
type Actions uint8

const (
	Publish Actions = 1 << iota
	Subscribe
)

// Rule is one line of a permission set.
type Rule struct {
	Deny    bool
	Actions Actions
	Filter  string
	MaxQoS  QoS
	Retain  bool
	// What the log says when the rule decides; empty for its number.
	Label string
}

// Fallback is what happens where no rule matches.
type Fallback uint8

const (
	FallbackDeny Fallback = iota
	FallbackAllow
	FallbackAsk
)

// PermissionSet is what a client may do: the first rule that matches decides.
type PermissionSet struct {
	Rules    []Rule
	Fallback Fallback
}

// Publication is a message that a client wants to publish.
type Publication struct {
	Topic       string
	QoS         QoS
	Retain      bool
	PayloadSize uint32
}

// Subscription is one entry of a SUBSCRIBE packet.
type Subscription struct {
	Filter     string
	ShareGroup *string
	QoS        QoS
}

// Opinion is which way a verdict goes.
type Opinion uint8

const (
	Allows Opinion = iota
	Denies
	Abstains
)

// Verdict is the answer to one question.
type Verdict struct {
	Opinion Opinion
	Code    uint8
	Reason  string
	// Nil where the next publish is to be asked about like this one.
	Validity *Validity
}

// Validity is for what else a verdict holds.
type Validity struct {
	TTLMs  uint32
	Filter *string
	MaxQoS QoS
	Retain bool
}
