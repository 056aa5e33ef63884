package portcullis

import "unsafe"

// What the gateway reads of a call, or has been given room for. The collector knows nothing of the gateway's pointers, so it is
// kept here until the call is over. The collector moves nothing.
var (
	lentAreas [][]uint64
	lentTexts []string
)

// giveBack ends a call.
func giveBack() {
	clear(lentAreas)
	clear(lentTexts)
	lentAreas, lentTexts = lentAreas[:0], lentTexts[:0]
}

// area is memory laid out as the Canonical ABI wants it; offsets are in bytes.
type area uint32

// newArea gives memory that is zero and aligned for everything.
func newArea(size uint32) area {
	words := make([]uint64, (size+7)/8)
	if len(words) == 0 {
		return 0
	}
	lentAreas = append(lentAreas, words)
	return area(uintptr(unsafe.Pointer(&words[0])))
}

// cabiRealloc is where the gateway gets room for arguments and results.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old, oldSize, align, size uint32) uint32 {
	if size == 0 {
		return align
	}
	fresh := newArea(size)
	if oldSize > 0 {
		copy(fresh.bytes(0, size), area(old).bytes(0, oldSize))
	}
	return uint32(fresh)
}

func (a area) at(offset uint32) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(nil), uint32(a)+offset)
}

func (a area) bytes(offset, size uint32) []byte {
	if size == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(a.at(offset)), size)
}

func (a area) u8(offset uint32) uint8   { return *(*uint8)(a.at(offset)) }
func (a area) u32(offset uint32) uint32 { return *(*uint32)(a.at(offset)) }
func (a area) u64(offset uint32) uint64 { return *(*uint64)(a.at(offset)) }

func (a area) putU8(offset uint32, value uint8)   { *(*uint8)(a.at(offset)) = value }
func (a area) putU32(offset uint32, value uint32) { *(*uint32)(a.at(offset)) = value }
func (a area) putU64(offset uint32, value uint64) { *(*uint64)(a.at(offset)) = value }

func (a area) putBool(offset uint32, value bool) {
	if value {
		a.putU8(offset, 1)
	}
}

// text reads a string: its address and its length.
func (a area) text(offset uint32) string { return textAt(a.u32(offset), a.u32(offset+4)) }

// textAt copies a string that lies at an address: the memory is given back with the call.
func textAt(address, size uint32) string { return string(area(address).bytes(0, size)) }

// optionalText is the flat form of an option<string>.
func optionalText(present, address, size uint32) *string {
	if present == 0 {
		return nil
	}
	text := textAt(address, size)
	return &text
}

func (a area) putText(offset uint32, text string) {
	lentTexts = append(lentTexts, text)
	a.putU32(offset, uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))))
	a.putU32(offset+4, uint32(len(text)))
}

// putOptionalText writes an option<string>, in 12 bytes.
func (a area) putOptionalText(offset uint32, text *string) {
	if text != nil {
		a.putU8(offset, 1)
		a.putText(offset+4, *text)
	}
}

// putList writes the address and the length of a list, and each entry where it belongs.
func putList[T any](a area, offset uint32, entries []T, size uint32, put func(area, *T)) {
	list := newArea(uint32(len(entries)) * size)
	for at := range entries {
		put(list+area(uint32(at)*size), &entries[at])
	}
	a.putU32(offset, uint32(list))
	a.putU32(offset+4, uint32(len(entries)))
}

// list reads the address and the length of a list, and each entry.
func list[T any](address, length, size uint32, read func(area) T) []T {
	entries := make([]T, 0, length)
	for at := range length {
		entries = append(entries, read(area(address+at*size)))
	}
	return entries
}
