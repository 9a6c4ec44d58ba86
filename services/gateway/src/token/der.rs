//! An RSA public key as ring takes it: `RSAPublicKey` (RFC 8017, A.1.1) in DER.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// The key of a modulus and an exponent as a JSON Web Key has them (RFC 7518, 6.3.1); nothing if
/// they are not base64.
pub(super) fn rsa(modulus: &str, exponent: &str) -> Option<Vec<u8>> {
    let mut integers = integer(&URL_SAFE_NO_PAD.decode(modulus).ok()?);
    integers.extend(integer(&URL_SAFE_NO_PAD.decode(exponent).ok()?));
    Some(element(SEQUENCE, &integers))
}

/// An integer that is not negative.
fn integer(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    // The highest bit is the sign.
    let mut content = vec![0];
    content.extend_from_slice(&big_endian[zeros..]);
    let is_padded = content.get(1).is_some_and(|first| first & 0x80 == 0);
    element(INTEGER, &content[usize::from(is_padded)..])
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count().min(length.len() - 1);
    let length = &length[zeros..];
    if content.len() >= 0x80 {
        // How many bytes the length has: at most eight.
        element.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
    }
    element.extend_from_slice(length);
    element.extend_from_slice(content);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_short_as_can_be_and_not_negative() {
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(integer(&[1, 0, 1]), [2, 3, 1, 0, 1]);
        assert_eq!(integer(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
    }

    #[test]
    fn long_lengths_take_more_bytes() {
        assert_eq!(element(4, &[7; 0x7f])[..3], [4, 0x7f, 7]);
        assert_eq!(element(4, &[7; 0x80])[..4], [4, 0x81, 0x80, 7]);
        assert_eq!(element(4, &[7; 0x1234])[..5], [4, 0x82, 0x12, 0x34, 7]);
    }

    #[test]
    fn a_key_is_a_sequence_of_two_integers() {
        assert_eq!(rsa("AQAB", "Aw"), Some(vec![0x30, 8, 2, 3, 1, 0, 1, 2, 1, 3]));
        assert_eq!(rsa("not base64!", "Aw"), None);
    }
}
