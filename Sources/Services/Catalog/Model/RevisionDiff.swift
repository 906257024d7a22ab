import Documents
import JSON
import OpenAPI

/// What changed for callers between two revisions, operation by operation.
enum RevisionDiff {
    struct Change: Sendable, Equatable {
        /// `added`, `removed` or `changed`.
        let kind: String
        let method: String
        let path: String
        let detail: String

        var json: JSONValue {
            .object([
                "change": .string(self.kind), "method": .string(self.method), "path": .string(self.path),
                "detail": .string(self.detail),
            ])
        }
    }

    /// In the order of path and method.
    static func changes(from old: OpenAPIDocument, to new: OpenAPIDocument) -> [Change] {
        var before: [String: OpenAPIOperation] = [:]
        for operation in old.operations { before["\(operation.path) \(operation.method)"] = operation }
        let oldRoot: JSONValue = old.root.json()
        let newRoot: JSONValue = new.root.json()
        var changes: [Change] = []
        for operation in new.operations {
            let key: String = "\(operation.path) \(operation.method)"
            guard let known: OpenAPIOperation = before.removeValue(forKey: key) else {
                changes.append(Self.change("added", operation, operation.summary ?? ""))
                continue
            }
            if operation.deprecated && !known.deprecated {
                changes.append(Self.change("changed", operation, "is deprecated now"))
            } else if Self.value(operation, in: newRoot) != Self.value(known, in: oldRoot) {
                changes.append(Self.change("changed", operation, "its description differs"))
            }
        }
        for operation in before.values {
            changes.append(Self.change("removed", operation, "callers of it will get 404 or 405"))
        }
        changes.sort { ($0.path, $0.method, $0.kind) < ($1.path, $1.method, $1.kind) }
        return changes
    }

    private static func value(_ operation: OpenAPIOperation, in root: JSONValue) -> JSONValue? {
        JSONPointer(parsing: operation.pointer)?.resolve(in: root)
    }

    private static func change(_ kind: String, _ operation: OpenAPIOperation, _ detail: String) -> Change {
        Change(kind: kind, method: operation.method.uppercased(), path: operation.path, detail: detail)
    }
}
