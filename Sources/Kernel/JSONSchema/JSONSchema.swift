package import JSON

/// A compiled JSON Schema (2020-12): the part of it that our own documents use, no keyword silently ignored.
///
/// Checked: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `minProperties`, `maxProperties`, `items`,
/// `prefixItems`, `minItems`, `maxItems`, `uniqueItems`, `minLength`, `maxLength`, `format`, `minimum`, `maximum`,
/// `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`, `allOf`, `anyOf`, `oneOf`, `not`, local `$ref`, `$defs`.
/// Accepted as notes: `title`, `description`, `default`, `examples`, `deprecated`, `readOnly`, `writeOnly`, `$comment`, and
/// `$schema` and `$id` at the root. Anything else does not compile.
package struct JSONSchema: Sendable {
    /// Rules refer to one another by index; the first is the root.
    let rules: [SchemaRule]

    /// Compiles `schema`; throws at the first keyword that is unknown or wrong.
    package init(compiling schema: JSONValue) throws(SchemaError) {
        var compiler: SchemaCompiler = SchemaCompiler(schema)
        self.rules = try compiler.compile()
    }

    /// Everything that is wrong with `value`, at most `SchemaProblem.max` findings; none when it is valid.
    package func validate(_ value: JSONValue) -> [SchemaProblem] {
        var validator: SchemaValidator = SchemaValidator(self.rules)
        return validator.validate(value)
    }
}

/// One finding about a value.
package struct SchemaProblem: Error, Sendable, Equatable {
    /// More than anybody fixes in one go.
    package static let max: Int = 100

    /// JSON pointer (RFC 6901) into the value; "" is the whole.
    package let pointer: String
    /// What was expected: "expected a string of at most 63 characters". Never repeats a string from the value.
    package let message: String

    package init(pointer: String, message: String) {
        self.pointer = pointer
        self.message = message
    }
}

extension SchemaProblem: CustomStringConvertible {
    package var description: String { self.pointer.isEmpty ? self.message : "\(self.pointer): \(self.message)" }
}

/// Why a schema does not compile.
package struct SchemaError: Error, Sendable, Equatable {
    /// JSON pointer (RFC 6901) into the schema.
    package let pointer: String
    package let message: String

    package init(pointer: String, message: String) {
        self.pointer = pointer
        self.message = message
    }
}

extension SchemaError: CustomStringConvertible {
    package var description: String { self.pointer.isEmpty ? self.message : "\(self.pointer): \(self.message)" }
}
