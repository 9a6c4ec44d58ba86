//! A service and the OpenAPI document that it serves: every answer is held against it.

use std::collections::BTreeSet;

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    programs,
    rest::{Answer, Rest},
};

/// A document with schemas.
#[derive(Debug, Clone)]
pub struct Document(pub Value);

impl Document {
    /// A committed one, by its name in `docs/`.
    ///
    /// # Panics
    /// When it is not there, or no JSON.
    #[must_use]
    pub fn committed(name: &str) -> Self {
        let text = std::fs::read(programs::repository(&format!("docs/{name}"))).unwrap();
        Self(serde_json::from_slice(&text).unwrap())
    }

    /// What is wrong with `value` as an instance of a schema of the document; none if nothing is. A
    /// field that the schema does not know is wrong too: nothing may be said that is not described.
    ///
    /// # Panics
    /// When the schema is none.
    #[must_use]
    pub fn fault(&self, schema: &Value, value: &Value) -> Option<String> {
        self.strict(schema).validate(value).err().map(|fault| fault.to_string())
    }

    /// Whether a peer that does not know of later versions may take `value`: unknown fields are fine.
    ///
    /// # Panics
    /// When the schema is none.
    #[must_use]
    pub fn is_valid(&self, schema: &Value, value: &Value) -> bool {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        jsonschema::draft202012::is_valid(&schema, value)
    }

    fn strict(&self, schema: &Value) -> Validator {
        let mut schema = schema.clone();
        self.close(&mut schema);
        let mut components = Map::new();
        for (name, component) in self.0["components"]["schemas"].as_object().unwrap() {
            let mut component = component.clone();
            self.close(&mut component);
            components.insert(name.clone(), component);
        }
        schema["components"] = json!({ "schemas": components });
        jsonschema::draft202012::new(&schema).unwrap()
    }

    /// Lets the objects of a schema have the fields that it names and no others.
    fn close(&self, schema: &mut Value) {
        let Some(object) = schema.as_object_mut() else { return };
        let is_object = object.contains_key("properties") || object.contains_key("allOf");
        // Parts of a whole are closed with it, so that each knows the others' fields.
        for part in object.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
            self.inline(part);
        }
        if is_object {
            object.insert("unevaluatedProperties".to_owned(), json!(false));
        }
        self.close_below(object);
    }

    fn close_below(&self, object: &mut Map<String, Value>) {
        let properties = object.get_mut("properties").and_then(Value::as_object_mut);
        properties.into_iter().flat_map(Map::values_mut).for_each(|schema| self.close(schema));
        if let Some(items) = object.get_mut("items") {
            self.close(items);
        }
        if !object.contains_key("properties") {
            let choices = object.get_mut("oneOf").and_then(Value::as_array_mut);
            choices.into_iter().flatten().for_each(|choice| self.close(choice));
        }
    }

    /// Puts copies in place of references among the parts of an `allOf`.
    fn inline(&self, part: &mut Value) {
        if let Some(name) = part["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            *part = self.0["components"]["schemas"][name].clone();
        }
        for key in ["allOf", "oneOf"] {
            part[key].as_array_mut().into_iter().flatten().for_each(|part| self.inline(part));
            if part[key].is_null() {
                part.as_object_mut().map(|object| object.remove(key));
            }
        }
        if let Some(object) = part.as_object_mut()
            && object.contains_key("properties")
        {
            self.close_below(object);
        }
    }

    /// Follows a reference to another part of the document.
    fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        node["$ref"].as_str().map_or(node, |path| self.pointed_at(path))
    }

    /// What a reference points at; null if nothing.
    #[must_use]
    pub fn pointed_at(&self, reference: &str) -> &Value {
        let pointer = reference.strip_prefix('#').unwrap_or(reference);
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// A service that describes itself.
#[derive(Debug)]
pub struct Described {
    rest: Rest,
    document: Document,
    called: BTreeSet<(String, String)>,
}

impl Described {
    /// The service that serves the document at `path`.
    pub async fn at(rest: Rest, path: &str) -> Self {
        let document = Document(rest.get(path).await.expect(200).body);
        let called = [("get".to_owned(), path.to_owned())].into();
        Self { rest, document, called }
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Calls an operation by its path in the document, whose braces are filled from `values`; a
    /// query may follow.
    ///
    /// # Panics
    /// When anything is not as the document says, or the status is another one.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        values: &[(&str, &str)],
        body: Option<Value>,
        status: u16,
    ) -> Answer {
        let (template, query) = path.split_once('?').unwrap_or((path, ""));
        let verb = method.as_str().to_lowercase();
        let operation = self.document.0["paths"][template][&verb].clone();
        assert!(operation.is_object(), "{method} {template} is not described");
        let mut url = template.to_owned();
        for (name, value) in values {
            url = url.replace(&format!("{{{name}}}"), value);
        }
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        let mut request = self.rest.request(method, &url);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = self.rest.send(request).await.expect(status);
        if let Some(body) = body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let takes = self.document.is_valid(schema, &body);
            // What the schema refuses, the service refuses; the service knows more rules.
            assert!(takes || status == 400, "{url}: {body} was accepted");
        }
        self.check(&operation, &answer);
        if status < 400 {
            self.called.insert((verb, template.to_owned()));
        }
        answer
    }

    /// Takes note of an operation that was called in another way.
    pub fn note(&mut self, method: &Method, path: &str) {
        self.called.insert((method.as_str().to_lowercase(), path.to_owned()));
    }

    fn check(&self, operation: &Value, answer: &Answer) {
        let response = &operation["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{} is not described: {}", answer.status, answer.text);
        let content = self.document.resolve(response)["content"].as_object();
        let Some(content) = content else {
            assert_eq!(answer.text, "", "a body that is not described");
            return;
        };
        let described = content.get(&answer.content_type);
        let described =
            described.unwrap_or_else(|| panic!("{} is not described", answer.content_type));
        if answer.content_type.ends_with("json") {
            let fault = self.document.fault(&described["schema"], &answer.body);
            assert_eq!(fault, None, "{}", answer.text);
        }
    }

    /// Checks that every operation of the document was called with success, and that the paths take
    /// no method that is not described.
    ///
    /// # Panics
    /// When that is not so.
    pub async fn finish(self, values: &[(&str, &str)]) {
        for (path, item) in self.document.0["paths"].as_object().unwrap() {
            let mut url = path.clone();
            for (name, value) in values {
                url = url.replace(&format!("{{{name}}}"), value);
            }
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let verb = method.as_str().to_lowercase();
                if item[&verb].is_object() {
                    let called = self.called.contains(&(verb, path.clone()));
                    assert!(called, "{method} {path} is described and was not called with success");
                } else {
                    let answer = self.rest.send(self.rest.request(method, &url)).await;
                    answer.expect_problem(405, "method_not_allowed", None);
                }
            }
        }
    }
}
