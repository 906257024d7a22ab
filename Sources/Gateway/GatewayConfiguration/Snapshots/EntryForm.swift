import Crypto
import JSON

/// An entry of a document as it is sent, kept and hashed: made once for all of these.
struct EntryForm: Sendable, Equatable {
    /// JSON. Canonical (RFC 8785) where that says all: it has no whole numbers beyond 2^53.
    let text: [UInt8]
    /// SHA-256 of the canonical form.
    let hash: [UInt8]

    init(of json: JSONValue) {
        let canonical: [UInt8] = json.canonical()
        self.text = Self.isExact(json) ? canonical : json.serialized()
        self.hash = SHA256.hash(canonical)
    }

    /// Takes a text for canonical: whoever sent it says by the hash of the document whether it is.
    init(canonical text: [UInt8]) {
        self.text = text
        self.hash = SHA256.hash(text)
    }

    /// Whether a secret may be referred to in it.
    var mayRefer: Bool {
        let mark: [UInt8] = Array(SecretReference.scheme.utf8)
        return self.text.withUnsafeBufferPointer { text in
            var at: Int = 0
            while at + mark.count <= text.count {
                if text[at] == mark[0], text[at..<(at + mark.count)].elementsEqual(mark) { return true }
                at += 1
            }
            return false
        }
    }

    /// The canonical form has all numbers as doubles.
    private static func isExact(_ json: JSONValue) -> Bool {
        switch json {
        case .int(let number): return number.magnitude <= 1 << 53
        case .array(let elements):
            for element in elements where !Self.isExact(element) { return false }
            return true
        case .object(let object):
            for member in object.members where !Self.isExact(member.value) { return false }
            return true
        default: return true
        }
    }
}

/// An entry that was read, ready to be put into any number of documents.
package struct ReadEntry: Sendable {
    enum Definition: Sendable {
        case api(APIDefinition)
        case application(ApplicationDefinition)
        case plan(PlanDefinition)
        case tenant(TenantDefinition)
    }

    let definition: Definition
    let form: EntryForm
    let secrets: EntrySecrets
}
