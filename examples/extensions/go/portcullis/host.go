package portcullis

// Connection is the handle of the client's connection; it is valid during the call that received it.
type Connection uint32

//go:wasmimport portcullis:gateway/types@0.1.0 [resource-drop]connection
func dropConnection(handle uint32)

// drop gives the handle back; a call that keeps one has failed.
func (c Connection) drop() { dropConnection(uint32(c)) }

//go:wasmimport portcullis:gateway/types@0.1.0 [method]connection.attribute
func connectionAttribute(handle uint32, name string, result uint32)

// Attribute is the first value of an attribute that an authenticator granted, and whether there is one.
func (c Connection) Attribute(name string) (string, bool) {
	result := newArea(12)
	connectionAttribute(uint32(c), name, uint32(result))
	return result.text(4), result.u8(0) != 0
}

//go:wasmimport portcullis:host/config@0.1.0 get
func configGet(key string, result uint32)

// Config is the operator's setting under a key, and whether there is one.
func Config(key string) (string, bool) {
	result := newArea(12)
	configGet(key, uint32(result))
	return result.text(4), result.u8(0) != 0
}

//go:wasmimport portcullis:host/config@0.1.0 keys
func configKeys(result uint32)

// ConfigKeys are all keys that have a value, sorted.
func ConfigKeys() []string {
	result := newArea(8)
	configKeys(uint32(result))
	return list(result.u32(0), result.u32(4), 8, func(a area) string { return a.text(0) })
}

// VerifiedToken is what a token says whose signature, issuer, audience and times are right.
type VerifiedToken struct {
	// All claims, one JSON object.
	Claims string
	// Empty where the token names nobody.
	Subject string
	// Nil for ever.
	ValidForMs *uint64
	flattened  []claim
}

type claim struct {
	path   string
	values []string
}

// Values are those of a claim by its path, such as realm_access.roles.
func (t *VerifiedToken) Values(path string) []string {
	for _, claim := range t.flattened {
		if claim.path == path {
			return claim.values
		}
	}
	return nil
}

// TokenErrorKind is what is wrong with a token.
type TokenErrorKind uint8

const (
	TokenUnknownKeySet TokenErrorKind = iota
	TokenMalformed
	TokenWrong
	TokenExpired
	TokenNotYetValid
	TokenUnavailable
	TokenOther
)

// TokenError is why there is no verified token.
type TokenError struct {
	Kind TokenErrorKind
	// A sentence for the log; empty for TokenUnknownKeySet.
	Why string
}

//go:wasmimport portcullis:host/credentials@0.1.0 verify-token
func verifyToken(keySet, token string, result uint32)

// VerifyToken has the gateway verify a token against one of the operator's key sets.
func VerifyToken(keySet, token string) (VerifiedToken, *TokenError) {
	result := newArea(56)
	verifyToken(keySet, token, uint32(result))
	if result.u8(0) != 0 {
		failure := TokenError{Kind: TokenErrorKind(result.u8(8))}
		switch failure.Kind {
		case TokenUnknownKeySet:
		case TokenOther:
			failure.Why = result.text(20)
		default:
			failure.Why = result.text(12)
		}
		return VerifiedToken{}, &failure
	}
	verified := VerifiedToken{Claims: result.text(8)}
	verified.flattened = list(result.u32(16), result.u32(20), 16, func(a area) claim {
		values := list(a.u32(8), a.u32(12), 8, func(a area) string { return a.text(0) })
		return claim{a.text(0), values}
	})
	if result.u8(24) != 0 {
		verified.Subject = result.text(28)
	}
	if result.u8(40) != 0 {
		milliseconds := result.u64(48)
		verified.ValidForMs = &milliseconds
	}
	return verified, nil
}

//go:wasmimport portcullis:host/credentials@0.1.0 equal
func credentialsEqual(a, b string) uint32

// Equal says whether two secrets are equal, in a time that tells nothing but their lengths.
func Equal(a, b []byte) bool { return credentialsEqual(string(a), string(b)) != 0 }

// Level is how much a line of the log matters to the operator.
type Level uint32

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

//go:wasmimport portcullis:host/log@0.1.0 event
func logEvent(level uint32, message string, fields, count uint32)

// Log writes a line to the gateway's log: a constant text, and what varies as fields. Never put a password, a token or a payload
// into either.
func Log(level Level, message string, fields ...Property) {
	list := newArea(8)
	putList(list, 0, fields, 16, putProperty)
	logEvent(uint32(level), message, list.u32(0), list.u32(4))
}
