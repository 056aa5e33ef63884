use super::*;
use crate::host::{self, EngineSettings};
use crate::space::AddressSpace;

const COMPONENT: &str = "(component (core module (func (export \"f\") (result i32) i32.const 7)))";

struct Case {
    engine: Engine,
    key: SealKey,
    label: Label,
    code: Vec<u8>,
    sealed: Vec<u8>,
}

fn case(space: AddressSpace) -> Case {
    let bytes = wat::parse_str(COMPONENT).unwrap();
    let settings = EngineSettings { space, ..EngineSettings::default() };
    let engine = Engine::new(&host::config(&settings)).unwrap();
    let label = Label::of(&bytes, &EngineKind::here(&settings));
    let code = engine.precompile_component(&bytes).unwrap();
    let key = SealKey::new([7; 32]);
    let sealed = seal(&key, &label, &code);
    Case { engine, key, label, code, sealed }
}

fn usual() -> Case {
    case(AddressSpace::Ample)
}

impl Case {
    fn open(&self, sealed: &[u8]) -> Result<(), Refusal> {
        open(&self.engine, &self.key, &self.label, sealed).map(|_| ())
    }

    fn open_signed(&self, by: u8, signed: &[u8]) -> Result<(), Refusal> {
        let keys = [signer(9).public(), signer(by).public()];
        open_signed(&self.engine, &keys, &self.label, signed).map(|_| ())
    }
}

fn signer(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

#[test]
fn what_was_sealed_becomes_code() {
    let case = usual();
    assert_eq!(case.open(&case.sealed), Ok(()));
}

/// The engine would take most of these: it looks at the head of the code only.
#[test]
fn no_bit_may_differ() {
    let case = usual();
    let signed = sign(&signer(1), &case.label, &case.code);
    assert_eq!(case.open_signed(1, &signed), Ok(()));
    let tried = each_change(&case.sealed, |changed, which| {
        assert_eq!(case.open(changed), Err(Refusal::Seal), "{which}");
    });
    assert!(tried > 3_000, "{tried}");
    let tried = each_change(&signed, |changed, which| {
        assert_eq!(case.open_signed(1, changed), Err(Refusal::Signature), "{which}");
    });
    assert!(tried > 3_000, "{tried}");
}

fn each_change(bytes: &[u8], refused: impl Fn(&[u8], String)) -> usize {
    let (len, mut tried) = (bytes.len(), 0);
    let step = (len / 4096).max(1);
    let mut changed = bytes.to_vec();
    for at in (0..256.min(len)).chain((256..len).step_by(step)) {
        for bit in [0, 3, 7] {
            changed[at] ^= 1 << bit;
            refused(&changed, format!("byte {at}, bit {bit}"));
            changed[at] ^= 1 << bit;
            tried += 1;
        }
    }
    tried
}

#[test]
fn what_is_cut_or_longer_is_refused() {
    let case = usual();
    let signed = sign(&signer(1), &case.label, &case.code);
    let len = case.sealed.len();
    for end in (0..len).step_by((len / 500).max(1)).chain([31, 32, 33, 63, 64, 65, len - 1]) {
        assert_eq!(case.open(&case.sealed[..end]), Err(Refusal::Seal), "{end} bytes");
        assert_eq!(case.open_signed(1, &signed[..end]), Err(Refusal::Signature), "{end} bytes");
    }
    let longer = [&case.sealed[..], &[0]].concat();
    assert_eq!(case.open(&longer), Err(Refusal::Seal));
}

#[test]
fn another_key_is_another_gateway() {
    let case = usual();
    let other = SealKey::new([8; 32]);
    let refused = open(&case.engine, &other, &case.label, &case.sealed).map(|_| ());
    assert_eq!(refused, Err(Refusal::Seal));
    let signed = sign(&signer(2), &case.label, &case.code);
    assert_eq!(case.open_signed(1, &signed), Err(Refusal::Signature));
    let nobody = open_signed(&case.engine, &[], &case.label, &signed).map(|_| ());
    assert_eq!(nobody, Err(Refusal::Signature));
}

/// A key that signs extensions says nothing of code, even if it is the same.
#[test]
fn a_signature_of_something_else_is_none() {
    let case = usual();
    let rest = [&case.label.header(), &case.code[..]].concat();
    assert_eq!(case.open_signed(1, &case.sealed), Err(Refusal::Signature));
    let sealed_twice = seal(&case.key, &case.label, &case.sealed);
    assert_eq!(case.open_signed(1, &sealed_twice), Err(Refusal::Signature));
    assert_eq!(
        case.open_signed(1, &[&[0; CODE_BYTES], &rest[..]].concat()),
        Err(Refusal::Signature)
    );
}

#[test]
fn code_of_another_component_is_refused() {
    let case = usual();
    let other = Label { component: [0; 32], ..case.label };
    let refused = open(&case.engine, &case.key, &other, &case.sealed).map(|_| ());
    assert_eq!(refused, Err(Refusal::Label));
    let signed = sign(&signer(1), &other, &case.code);
    assert_eq!(case.open_signed(1, &signed), Err(Refusal::Label));
}

#[test]
fn code_for_another_engine_is_refused() {
    let (here, there) = (usual(), case(AddressSpace::Tight));
    assert_ne!(here.label, there.label);
    assert_ne!(here.label.file_name(), there.label.file_name());
    assert_eq!(here.open(&there.sealed), Err(Refusal::Label));
    let signed = sign(&signer(1), &there.label, &there.code);
    assert_eq!(here.open_signed(1, &signed), Err(Refusal::Label));
    // And if only the label were right, the engine itself would say no.
    let relabelled = seal(&here.key, &here.label, &there.code);
    assert!(matches!(here.open(&relabelled), Err(Refusal::Engine(_))));
}
