//! Tokens: who has one may write, or deliver what was rendered.

mod file;
mod keeper;

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

pub use file::{Place, TokenFileError, give_file, give_path, read, read_from};
pub use keeper::{Keeper, KeeperError, Made};

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Create, delete, retry.
    User,
    /// Deliver what was rendered, and nothing else.
    Worker,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Worker => "worker",
        }
    }

    /// How tokens made here begin, for people and for scanners that look for secrets gone astray.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::User => "faafo_u_",
            Kind::Worker => "faafo_w_",
        }
    }

    /// The command that prints it.
    pub fn command(self) -> &'static str {
        match self {
            Kind::User => "faafo token",
            Kind::Worker => "faafo token --worker",
        }
    }
}

/// A secret: it is shown only where that is asked for by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Random bits of a token, in bytes.
const RANDOM: usize = 32;

/// Characters that a token must have, or it might be guessed, and those it may have.
const LEAST: usize = 20;
const MOST: usize = 512;

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("is empty: it must hold the token, and nothing else")]
    Empty,
    #[error("holds several words: it must hold the token, and nothing else")]
    Blanks,
    #[error("holds a character that no token has: only letters, digits and - . _ ~ + / = do")]
    Character,
    #[error("holds only {0} characters, which may be guessed: a token has at least {LEAST}")]
    Short(usize),
    #[error("holds more than {MOST} characters, which no token has")]
    Long,
    #[error("holds a {found} token, where the {} token belongs", wanted.name(), found = found.name())]
    Other { wanted: Kind, found: Kind },
}

impl Token {
    /// A new one, of 256 bits from the system's generator.
    pub fn random(kind: Kind) -> std::io::Result<Token> {
        let mut bytes = [0; RANDOM];
        SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(std::io::Error::other)?;
        let random = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Ok(Token(format!("{}{random}", kind.prefix())))
    }

    /// The token in a text, which may end its line.
    pub fn parse(text: &str) -> Result<Token, Unfit> {
        let text = text.trim_ascii();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if text.is_empty() {
            return Err(Unfit::Empty);
        }
        if text.contains(char::is_whitespace) {
            return Err(Unfit::Blanks);
        }
        if !text.chars().all(fits) {
            return Err(Unfit::Character);
        }
        match text.len() {
            short @ ..LEAST => Err(Unfit::Short(short)),
            LEAST..=MOST => Ok(Token(text.to_owned())),
            _ => Err(Unfit::Long),
        }
    }

    /// As [`Token::parse`], and not a token of another kind than this.
    pub fn parse_as(wanted: Kind, text: &str) -> Result<Token, Unfit> {
        let token = Token::parse(text)?;
        let is = |kind: Kind| token.0.starts_with(kind.prefix());
        match [Kind::User, Kind::Worker]
            .into_iter()
            .find(|kind| is(*kind))
        {
            Some(found) if found != wanted => Err(Unfit::Other { wanted, found }),
            _ => Ok(token),
        }
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The SHA-256 of a token, by which tokens are compared.
#[derive(Clone, Copy)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(text: &str) -> Fingerprint {
        Fingerprint(Sha256::digest(text).into())
    }

    /// Takes the same time however much is equal. And even a time that told how many bytes of the
    /// fingerprints are equal would tell nothing of the token.
    pub fn is(&self, other: &Fingerprint) -> bool {
        let pairs = self.0.iter().zip(other.0);
        pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_tell_their_kind() {
        let token = Token::random(Kind::User).unwrap();
        let other = Token::random(Kind::User).unwrap();
        assert!(token.expose().starts_with("faafo_u_"));
        assert_eq!(token.expose().len(), 8 + 43);
        assert_ne!(token, other);
        assert!(token.fingerprint().is(&Fingerprint::of(token.expose())));
        assert!(!token.fingerprint().is(&other.fingerprint()));
        assert!(!format!("{token:?}").contains(token.expose()));
        assert_eq!(Token::parse_as(Kind::User, token.expose()), Ok(token));
    }

    #[test]
    fn what_is_no_token_is_told_apart() {
        let unfit = |text: &str| Token::parse(text).unwrap_err();
        assert_eq!(unfit(" \n"), Unfit::Empty);
        assert_eq!(unfit("two wordswordswordswords"), Unfit::Blanks);
        assert_eq!(unfit("line-line-line-line-line\nline"), Unfit::Blanks);
        assert_eq!(unfit("pässword-pässword-pässword"), Unfit::Character);
        assert_eq!(unfit("changeme"), Unfit::Short(8));
        assert_eq!(unfit(&"x".repeat(513)), Unfit::Long);
        assert!(Token::parse("0123456789abcdef0123456789abcdef\n").is_ok());
        let worker = Token::random(Kind::Worker).unwrap();
        assert!(Token::parse_as(Kind::User, worker.expose()).is_err());
    }
}
