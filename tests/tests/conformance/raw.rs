//! Bytes, for packets that no encoder writes:
//!
//! | word | bytes |
//! |---|---|
//! | `10` `00ff` | these, in hexadecimal |
//! | `"text"` | a string behind its two-byte length |
//! | `'text'` | the text alone |
//! | `@alice` | a client identifier as a string, this script's own |
//! | `~t/x` | a topic or filter as a string, below this script's level |
//! | `[ ... ]` | what is inside, behind its length as a Variable Byte Integer |

use crate::words::{Scope, written_out};

/// The bytes that `words` stand for.
pub(crate) fn bytes(words: &[&str], scope: &Scope) -> Result<Vec<u8>, String> {
    let mut open = vec![Vec::new()];
    for word in words {
        let piece = match *word {
            "[" => {
                open.push(Vec::new());
                continue;
            }
            "]" => {
                let inside = open.pop().unwrap_or_default();
                let mut piece = length(inside.len());
                piece.extend(inside);
                piece
            }
            word => piece(word, scope)?,
        };
        open.last_mut().ok_or("a ] closes nothing")?.extend(piece);
    }
    match open.len() {
        1 => Ok(open.remove(0)),
        _ => Err("a [ is not closed".to_owned()),
    }
}

fn piece(word: &str, scope: &Scope) -> Result<Vec<u8>, String> {
    let inside = |quote: char| word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(text) = inside('"') {
        return Ok(string(&written_out(text)));
    }
    if let Some(text) = inside('\'') {
        return Ok(written_out(text).as_bytes().to_vec());
    }
    if let Some(id) = word.strip_prefix('@') {
        return Ok(string(&scope.client_id(id)));
    }
    if let Some(filter) = word.strip_prefix('~') {
        return Ok(string(&scope.filter(filter)));
    }
    let pairs = word.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    pairs
        .map(|pair| match pair.len() {
            2 => u8::from_str_radix(pair, 16).map_err(|_| format!("{word:?} is not hexadecimal")),
            _ => Err(format!("{word:?} has half a byte")),
        })
        .collect()
}

fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

fn length(mut rest: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(rest % 128).unwrap_or_default();
        rest /= 128;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            return bytes;
        }
    }
}

#[test]
fn words_become_bytes() {
    let scope = Scope::new("s");
    let of = |line: &str| bytes(&line.split(' ').collect::<Vec<_>>(), &scope);
    assert_eq!(of(r#"10 [ "MQ" 05 [ ] @a ]"#), Ok(b"\x10\x0a\0\x02MQ\x05\0\0\x02sa".to_vec()));
    assert_eq!(of("30ff 'ab' ~t"), Ok(b"\x30\xffab\0\x03s/t".to_vec()));
    assert_eq!(of("[ '200*x' ]").map(|bytes| bytes.len()), Ok(202));
    assert!(of("[ 10").is_err() && of("10 ]").is_err() && of("1").is_err() && of("xy").is_err());
}
