//! Texts for logs and terminals, whatever names and values they quote.

use crate::limits;

/// The text with control characters as escapes, so that none is a line of its own or a command to
/// the terminal, and not without end. Those of `kept` stay.
pub(crate) fn printable(text: &str, kept: &[char]) -> String {
    let mut printable = String::with_capacity(text.len().min(limits::ERROR_TEXT_BYTES));
    for character in text.chars() {
        if printable.len() > limits::ERROR_TEXT_BYTES {
            printable.push('…');
            break;
        }
        if character.is_control() && !kept.contains(&character) {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}
