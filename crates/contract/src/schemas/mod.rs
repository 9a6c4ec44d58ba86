//! Schemas of the wire types, for the documents that describe the interfaces (OpenAPI, AsyncAPI).
//!
//! Types derive theirs where they are declared; here are those of parsed names, which know their
//! rules, and of strings that only limits make special. What the operator can configure is set by
//! [`apply_limits`], so that a service describes itself as it runs.

pub mod client;
pub mod committed;
pub mod document;
pub mod problems;
pub mod server;
pub mod webhooks;

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ComponentsBuilder, KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{AdditionalProperties, SchemaType, Type},
    },
};

use crate::{
    error::ErrorCode,
    event::Event,
    ids::{
        Actor, ChannelName, MESSAGE_ID_CEILING, MembershipId, MessageId, NAME_CEILING,
        ROLE_CEILING, Role, Secret, Seq, TenantName, Uid, UnixMillis,
    },
    limits::{Length, Limits, TOKEN_MAX},
    webhook::{ChannelPattern, EventKind},
};

/// A member's display name.
#[derive(Debug)]
pub struct DisplayName;

/// A member's secret.
#[derive(Debug)]
pub struct MemberSecret;

/// A secret that ticketing has made.
#[derive(Debug)]
pub struct MadeSecret;

/// The secret of a private channel.
#[derive(Debug)]
pub struct ChannelSecret;

/// What a message says.
#[derive(Debug)]
pub struct Text;

/// What the product attaches to a message.
#[derive(Debug)]
pub struct Meta;

/// A signed token.
#[derive(Debug)]
pub struct Token;

/// An event of a channel, with its place in the log. Later versions add types: one that you do not
/// know is to be ignored.
#[derive(Debug, ToSchema)]
pub struct PositionedEvent {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// The event's place in the log.
    pub seq: Seq,
    /// The `seq` of the channel's event before this one; 0 if there is none or it is unknown.
    pub prev: Seq,
}

/// An event as a transcript has it: with who of ticketing had it happen.
#[derive(Debug, ToSchema)]
pub struct TranscriptEvent {
    /// The event.
    #[serde(flatten)]
    pub event: PositionedEvent,
    /// Which credential had it happen; left out of what members did themselves.
    #[schema(nullable = false)]
    pub actor: Option<Actor>,
}

/// Printable ASCII without the space, and not what stands for a folder in an address.
const NAME_PATTERN: &str = r"^(?!\.{1,2}$)[!-~]+$";

/// Letters, digits, `_` and `-`.
const WORD_PATTERN: &str = "^[A-Za-z0-9_-]+$";

fn string(length: Length, description: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(length.min))
        .max_length(Some(length.max))
        .description(Some(description))
        .examples([example])
}

fn channel_name(limits: &Limits) -> Schema {
    let about = "A channel's name. The lengths are configurable (CHANNEL_MIN, CHANNEL_MAX).";
    string(limits.channel, about, "ticket-42").pattern(Some(NAME_PATTERN)).into()
}

fn uid(limits: &Limits) -> Schema {
    let about = "A member's identifier. The lengths are configurable (UID_MIN, UID_MAX).";
    string(limits.uid, about, "ann").pattern(Some(NAME_PATTERN)).into()
}

fn actor() -> Schema {
    let about = "Who of ticketing did something: the name of a credential (ADMIN_CREDENTIALS). \
                 Members and customers are never shown it.";
    let length = Length { min: 1, max: NAME_CEILING };
    string(length, about, "help-desk").pattern(Some(WORD_PATTERN)).into()
}

fn tenant_name() -> Schema {
    let about = "A customer of an installation that has several.";
    let length = Length { min: 1, max: NAME_CEILING };
    string(length, about, "acme").pattern(Some(WORD_PATTERN)).into()
}

fn display_name(limits: &Limits) -> Schema {
    let about = "The name that others see: visible characters, no control characters. The lengths \
                 are configurable (DISPLAY_NAME_MIN, DISPLAY_NAME_MAX).";
    // Some character that is neither white space nor a control character, and no control character.
    let pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
    string(limits.display_name, about, "Ann").pattern(Some(pattern)).into()
}

fn member_secret(limits: &Limits) -> Schema {
    let about = "A member's secret: what the member identifies with. The lengths are configurable \
                 (SECRET_MIN, SECRET_MAX).";
    string(limits.secret, about, "6f1c0a9be2d84b57a3c16f1c0a9be2d84b57a3c1").into()
}

fn made_secret() -> Schema {
    let about = "A secret that ticketing has made: 160 random bits in hexadecimal, for example of \
                 `openssl rand -hex 20`.";
    let length = Length { min: Secret::GENERATED_LENGTH, max: Secret::GENERATED_LENGTH };
    let example = "6f1c0a9be2d84b57a3c16f1c0a9be2d84b57a3c1";
    string(length, about, example).pattern(Some("^[0-9a-f]+$")).into()
}

fn channel_secret(limits: &Limits) -> Schema {
    let about = "The secret of a private channel, which joining asks for. The lengths are \
                 configurable (CHANNEL_SECRET_MIN, CHANNEL_SECRET_MAX).";
    string(limits.channel_secret, about, "9d1f6c1e5b7a4d20a1b2c3d4e5f60718293a4b5c").into()
}

fn text(limits: &Limits) -> Schema {
    let about = "What a message says, in characters (Unicode code points) that are not all white \
                 space. The lengths are configurable (TEXT_MIN, TEXT_MAX).";
    string(limits.text, about, "Hello").pattern(Some(r"\S")).into()
}

fn meta(limits: &Limits) -> Schema {
    let about = format!(
        "Whatever the product attaches to a message, passed on untouched: strings, whose keys and \
         values together have at most {} bytes (configurable: META_BYTES).",
        limits.meta_bytes
    );
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(
            ObjectBuilder::new().schema_type(Type::String),
        )))
        .description(Some(about))
        .examples([json!({"page": "/pricing"})])
        .into()
}

/// What depends on the limits, by the names of the components.
fn limited(limits: &Limits) -> [(&'static str, Schema); 8] {
    [
        ("ChannelName", channel_name(limits)),
        ("Uid", uid(limits)),
        ("DisplayName", display_name(limits)),
        ("MemberSecret", member_secret(limits)),
        ("MadeSecret", made_secret()),
        ("ChannelSecret", channel_secret(limits)),
        ("Text", text(limits)),
        ("Meta", meta(limits)),
    ]
}

/// Sets the limits with which a service runs.
pub fn apply_limits(components: &mut Components, limits: &Limits) {
    for (name, schema) in limited(limits) {
        if let Some(component) = components.schemas.get_mut(name) {
            *component = RefOr::T(schema);
        }
    }
}

/// Takes out of a document's descriptions what only rustdoc understands: links to items.
pub fn tidy(document: &mut Value) {
    match document {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(words) if key == "description" || key == "summary" => {
                        *words = words.replace("[`", "`").replace("`]", "`");
                    }
                    other => tidy(other),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn message_id() -> Schema {
    let about = "Chosen by the client; no control characters. In a message it is the idempotency \
                 key: a resend with the same id is stored once.";
    let length = Length { min: 1, max: MESSAGE_ID_CEILING };
    string(length, about, "m1").pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$")).into()
}

fn role() -> Schema {
    let about = "What a member is to the people in a channel, as only ticketing can say: `guest` of \
                 whoever joined over the public face, `member`, `agent`, `system`, and those that the \
                 operator adds (ROLES).";
    let length = Length { min: 1, max: ROLE_CEILING };
    string(length, about, "agent").pattern(Some("^[a-z][a-z0-9_-]*$")).into()
}

fn membership_id() -> Schema {
    let about = "One membership of one person: whoever joins under the same uid later has another \
                 one. It is no secret.";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(about))
        .examples(["5f7c1e0a9b3d2468"])
        .into()
}

fn token() -> Schema {
    let about = "A signed token (a JSON Web Token, RFC 7519).";
    string(Length { min: 1, max: TOKEN_MAX }, about, "eyJhbGciOiJFZERTQSJ9.e30.c2ln").into()
}

fn integer(description: &str, example: u64) -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0))
        .description(Some(description))
        .examples([example])
        .into()
}

fn seq() -> Schema {
    let about = "An event's sequence in the log. It rises along a channel, with holes; 0 is before \
                 every event.";
    integer(about, 7)
}

fn unix_millis() -> Schema {
    integer("A moment, in milliseconds since the Unix epoch.", 1_700_000_000_123)
}

fn words<'a>(words: impl Iterator<Item = &'a str>, description: String) -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::from(Type::String))
        .enum_values(Some(words))
        .description(Some(description))
        .into()
}

fn error_code() -> Schema {
    let meanings = ErrorCode::ALL.map(|code| format!("- `{code}`: {}", meaning(code)));
    let about = format!(
        "A stable word for programs. Later versions may add some.\n\n{}",
        meanings.join("\n")
    );
    words(ErrorCode::ALL.iter().map(|code| code.as_str()), about)
}

/// What a code tells a client.
const fn meaning(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadFrame => "the frame is not text, not a JSON object, or of an unknown type",
        ErrorCode::BadRequest => {
            "a field is missing, of the wrong type, or has an impossible value"
        }
        ErrorCode::Unauthorized => "credentials are missing or wrong; do not repeat them",
        ErrorCode::Forbidden => {
            "the channel cannot be joined like this, or does not exist; or who asks only hears it"
        }
        ErrorCode::NotFound => "there is no such thing",
        ErrorCode::MethodNotAllowed => "the path does not take this method",
        ErrorCode::Conflict => "the name is taken, or the state does not allow it",
        ErrorCode::BeingDeleted => "the name is free once a deletion is done; wait, then repeat",
        ErrorCode::TooSlow => "the body came too slowly",
        ErrorCode::TooLarge => "the body is larger than allowed",
        ErrorCode::UnsupportedMediaType => "the body's content type is not JSON",
        ErrorCode::NotSubscribed => {
            "this socket has not subscribed to the channel; subscribe, then repeat"
        }
        ErrorCode::TooLong => "a value is longer than its limit",
        ErrorCode::Empty => "a value is shorter than its limit, or all white space",
        ErrorCode::RateLimited => {
            "too much in too short a time; wait, then repeat with the same `id`"
        }
        ErrorCode::ChannelClosed => "the channel takes no more messages",
        ErrorCode::Unavailable => {
            "a part of the system is away; wait, then repeat with the same `id`"
        }
        ErrorCode::Internal => "a defect on the server; wait, then repeat with the same `id`",
    }
}

/// The schemas of the variants of an enum that is tagged by `type`, by their tags.
fn variants(schema: &RefOr<Schema>) -> Vec<(String, Value)> {
    let schema = json!(schema);
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    let tag = |variant: &Value| {
        let parts =
            variant["allOf"].as_array().map_or(std::slice::from_ref(variant), Vec::as_slice);
        let tag = parts.iter().find_map(|part| part["properties"]["type"]["enum"][0].as_str());
        tag.map(ToOwned::to_owned)
    };
    variants.into_iter().filter_map(|variant| Some((tag(&variant)?, variant))).collect()
}

/// The schemas that a type refers to by name, with these limits.
fn components<T: ToSchema>(limits: &Limits) -> Vec<(String, Value)> {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    let mut components = ComponentsBuilder::new().schemas_from_iter(schemas).build();
    apply_limits(&mut components, limits);
    components.schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect()
}

/// The schemas of frames by their types, and of what they refer to by name.
#[derive(Debug, Clone)]
pub struct Frames {
    /// By type; the payload of a frame.
    pub frames: Vec<(String, Value)>,
    /// By name, for `#/components/schemas/`.
    pub components: Vec<(String, Value)>,
}

fn channel_pattern() -> Schema {
    let about = "A channel by its name, or the beginning of names and a star: `acme-*` is every channel whose name \
                 begins with `acme-`, `*` is every channel. A star that is not at the end is a star.";
    let length = Length { min: 1, max: NAME_CEILING + 1 };
    string(length, about, "acme-*").pattern(Some(NAME_PATTERN)).into()
}

fn event_kind() -> Schema {
    let about = "What happened, as a webhook calls it.".to_owned();
    words(EventKind::ALL.iter().map(|kind| kind.as_str()), about)
}

macro_rules! schema_of {
    ($($type:ty => $schema:expr;)*) => {
        $(
            impl PartialSchema for $type {
                fn schema() -> RefOr<Schema> {
                    RefOr::T($schema)
                }
            }

            impl ToSchema for $type {}
        )*
    };
}

schema_of! {
    ChannelName => channel_name(&Limits::default());
    Uid => uid(&Limits::default());
    DisplayName => display_name(&Limits::default());
    MemberSecret => member_secret(&Limits::default());
    MadeSecret => made_secret();
    ChannelSecret => channel_secret(&Limits::default());
    Text => text(&Limits::default());
    Meta => meta(&Limits::default());
    Actor => actor();
    TenantName => tenant_name();
    MessageId => message_id();
    Role => role();
    MembershipId => membership_id();
    Token => token();
    Seq => seq();
    UnixMillis => unix_millis();
    ErrorCode => error_code();
    EventKind => event_kind();
    ChannelPattern => channel_pattern();
}
