//! How many tokens a call has used, as its answer says. Where in a body that stands is found by `members` and `stream`.

use serde_json::Value;

/// The tokens that a call has used, as far as its answer has said.
///
/// | said as | by |
/// |---|---|
/// | `usage.{total_tokens, prompt_tokens, completion_tokens}` | OpenAI and those that speak like it |
/// | `usage.{input_tokens, output_tokens}`; in streams in `message.usage` first and in `usage` at the end | Anthropic |
/// | `response.usage` in the last event of a stream | OpenAI's Responses |
/// | `usageMetadata.{totalTokenCount, promptTokenCount, candidatesTokenCount}` | Gemini |
/// | `usage.tokens.{input_tokens, output_tokens}` | Cohere |
///
/// # Examples
/// ```
/// use serde_json::json;
/// use tower_rampart::http::Usage;
///
/// let mut usage = Usage::default();
/// usage.note(&json!({"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}));
/// usage.note(&json!({"type": "message_delta", "usage": {"output_tokens": 15}}));
/// assert_eq!(usage.total(), Some(40));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the request.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
    /// Both together, where the provider says so.
    pub stated_total: Option<u64>,
}

impl Usage {
    /// Takes note of what a whole body, or an event of a stream, says. What is said later replaces what was said before.
    pub fn note(&mut self, said: &Value) {
        for usage in [&said["message"]["usage"], &said["response"]["usage"], &said["usage"], &said["usageMetadata"]] {
            let usage = if usage["tokens"].is_object() { &usage["tokens"] } else { usage };
            let number = |names: &[&str]| names.iter().find_map(|name| usage[*name].as_u64());
            self.input = number(&["input_tokens", "prompt_tokens", "promptTokenCount"]).or(self.input);
            self.output = number(&["output_tokens", "completion_tokens", "candidatesTokenCount"]).or(self.output);
            self.stated_total = number(&["total_tokens", "totalTokenCount"]).or(self.stated_total);
        }
    }

    /// All tokens together; `None` if nothing was said.
    pub fn total(&self) -> Option<u64> {
        let sum = || match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        };
        self.stated_total.or_else(sum)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn total(said: &[Value]) -> Option<u64> {
        let mut usage = Usage::default();
        for said in said {
            usage.note(said);
        }
        usage.total()
    }

    #[test]
    fn usage_is_read_as_each_provider_says_it() {
        let openai = json!({"usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 22}});
        assert_eq!(total(&[openai]), Some(22));
        assert_eq!(total(&[json!({"usage": {"prompt_tokens": 9, "completion_tokens": 12}})]), Some(21));
        assert_eq!(total(&[json!({"usage": {"input_tokens": 3, "output_tokens": 4}})]), Some(7));
        assert_eq!(total(&[json!({"usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 30}})]), Some(30));
        assert_eq!(total(&[json!({"usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}}})]), Some(7));
        assert_eq!(total(&[json!({"response": {"usage": {"total_tokens": 5}}})]), Some(5));
    }

    #[test]
    fn usage_of_a_stream_is_put_together() {
        let events = [
            json!({"message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}),
            json!({"delta": {"text": "…"}}),
            json!({"usage": {"output_tokens": 8}}),
            json!({"usage": {"output_tokens": 15}}),
        ];
        assert_eq!(total(&events), Some(40));
        assert_eq!(total(&[json!({"usage": null}), json!({"choices": [], "usage": {"total_tokens": 3}})]), Some(3));
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for said in
            [json!({}), json!(null), json!({"usage": 7}), json!({"usage": {"total_tokens": -1, "input_tokens": "3"}})]
        {
            assert_eq!(total(&[said]), None);
        }
        assert_eq!(total(&[json!({"usage": {"input_tokens": u64::MAX, "output_tokens": 7}})]), Some(u64::MAX));
    }
}
