package portcullis

import "errors"

var extension Extension

// Serve has the gateway's calls answered by an extension. Call it from an init function: main is never run.
func Serve(e Extension) { extension = e }

//go:wasmexport portcullis:gateway/lifecycle@0.1.0#init
func hookInit() uint32 {
	result := newArea(12)
	if err := extension.Init(); err != nil {
		result.putU8(0, 1)
		result.putText(4, err.Error())
	}
	return uint32(result)
}

//go:wasmexport cabi_post_portcullis:gateway/lifecycle@0.1.0#init
func afterInit(uint32) { giveBack() }

//go:wasmexport portcullis:gateway/authenticator@0.1.0#authenticate
func hookAuthenticate(
	id uint64, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen,
	handle, secretKind, secret, secretLen uint32,
) uint32 {
	client := newClient(
		id, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen)
	conn := Connection(handle)
	defer conn.drop()
	var password *[]byte
	if secretKind != 0 {
		// The bytes are the call's own until it ends.
		bytes := area(secret).bytes(0, secretLen)
		password = &bytes
	}
	outcome, err := extension.Authenticate(client, conn, password)
	result := newArea(64)
	if putError(result, 8, err) {
		return uint32(result)
	}
	switch {
	case outcome.accept != nil:
		putGrant(result+16, outcome.accept)
	case outcome.reject != nil:
		result.putU8(8, 1)
		result.putU8(16, outcome.reject.Code)
		result.putOptionalText(20, nonEmpty(outcome.reject.Reason))
	default:
		result.putU8(8, 2)
	}
	return uint32(result)
}

//go:wasmexport cabi_post_portcullis:gateway/authenticator@0.1.0#authenticate
func afterAuthenticate(uint32) { giveBack() }

//go:wasmexport portcullis:gateway/authorizer@0.1.0#permissions
func hookPermissions(
	id uint64, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen,
	handle uint32,
) uint32 {
	client := newClient(
		id, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen)
	conn := Connection(handle)
	defer conn.drop()
	set, err := extension.Permissions(client, conn)
	result := newArea(20)
	if !putError(result, 4, err) && set != nil {
		result.putU8(4, 1)
		putPermissionSet(result+8, set)
	}
	return uint32(result)
}

//go:wasmexport cabi_post_portcullis:gateway/authorizer@0.1.0#permissions
func afterPermissions(uint32) { giveBack() }

//go:wasmexport portcullis:gateway/authorizer@0.1.0#authorize-publish
func hookAuthorizePublish(
	id uint64, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen,
	handle, topic, topicLen, qos, retain, payloadSize uint32,
) uint32 {
	client := newClient(
		id, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen)
	conn := Connection(handle)
	defer conn.drop()
	what := Publication{textAt(topic, topicLen), QoS(qos), retain != 0, payloadSize}
	verdict, err := extension.AuthorizePublish(client, conn, what)
	result := newArea(44)
	if !putError(result, 4, err) {
		putVerdict(result+4, &verdict)
	}
	return uint32(result)
}

//go:wasmexport cabi_post_portcullis:gateway/authorizer@0.1.0#authorize-publish
func afterAuthorizePublish(uint32) { giveBack() }

//go:wasmexport portcullis:gateway/authorizer@0.1.0#authorize-subscribe
func hookAuthorizeSubscribe(
	id uint64, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen,
	handle, entries, length uint32,
) uint32 {
	client := newClient(
		id, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen)
	conn := Connection(handle)
	defer conn.drop()
	what := list(entries, length, 24, func(a area) Subscription {
		group := optionalText(uint32(a.u8(8)), a.u32(12), a.u32(16))
		return Subscription{a.text(0), group, QoS(a.u8(20))}
	})
	verdicts, err := extension.AuthorizeSubscribe(client, conn, what)
	result := newArea(16)
	if !putError(result, 4, err) {
		putList(result, 4, verdicts, 40, putVerdict)
	}
	return uint32(result)
}

//go:wasmexport cabi_post_portcullis:gateway/authorizer@0.1.0#authorize-subscribe
func afterAuthorizeSubscribe(uint32) { giveBack() }

// newClient reads the flat form of a client.
func newClient(
	id uint64, clientID, clientIDLen, hasUsername, username, usernameLen, hasPrincipal, principal, principalLen uint32,
) Client {
	return Client{
		id, textAt(clientID, clientIDLen),
		optionalText(hasUsername, username, usernameLen), optionalText(hasPrincipal, principal, principalLen),
	}
}

// putError writes the hook-error of a result whose payload is at offset, if there is one.
func putError(a area, offset uint32, err error) bool {
	if err == nil {
		return false
	}
	a.putU8(0, 1)
	var unavailable Unavailable
	if !errors.As(err, &unavailable) {
		a.putU8(offset, 1)
	}
	a.putText(offset+4, err.Error())
	return true
}

func putGrant(a area, grant *Grant) {
	a.putText(0, grant.Principal)
	putList(a, 8, grant.Attributes, 16, putProperty)
	if grant.Permissions != nil {
		a.putU8(16, 1)
		putPermissionSet(a+20, grant.Permissions)
	}
	if grant.ValidForMs != nil {
		a.putU8(32, 1)
		a.putU64(40, *grant.ValidForMs)
	}
}

func putProperty(a area, property *Property) {
	a.putText(0, property.Name)
	a.putText(8, property.Value)
}

func putPermissionSet(a area, set *PermissionSet) {
	putList(a, 0, set.Rules, 28, func(a area, rule *Rule) {
		a.putBool(0, rule.Deny)
		a.putU8(1, uint8(rule.Actions))
		a.putText(4, rule.Filter)
		a.putU8(12, uint8(rule.MaxQoS))
		a.putBool(13, rule.Retain)
		a.putOptionalText(16, nonEmpty(rule.Label))
	})
	a.putU8(8, uint8(set.Fallback))
}

func putVerdict(a area, verdict *Verdict) {
	a.putU8(0, uint8(verdict.Opinion))
	a.putU8(1, verdict.Code)
	a.putOptionalText(4, nonEmpty(verdict.Reason))
	if validity := verdict.Validity; validity != nil {
		a.putU8(16, 1)
		a.putU32(20, validity.TTLMs)
		a.putOptionalText(24, validity.Filter)
		a.putU8(36, uint8(validity.MaxQoS))
		a.putBool(37, validity.Retain)
	}
}

func nonEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
