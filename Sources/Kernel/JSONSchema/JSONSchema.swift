package import JSON

/// A compiled JSON Schema, draft 2020-12, every keyword of it. Compiled once, used by any number of threads.
///
/// By default it is read as our own documents are: an unknown keyword or format is a mistake. `SchemaOptions.tolerant` takes the
/// schemas of others, as the draft says: what it does not know is a note; `SchemaOptions.openAPI30` reads the dialect of
/// OpenAPI 3.0.
///
/// Checking is bounded: steps, nesting, effort of patterns, number of findings. A value that would take more is refused.
package struct JSONSchema: Sendable {
    private let set: SchemaSet

    /// Compiles `schema`; throws at the first keyword that is wrong.
    package init(compiling schema: JSONValue, options: SchemaOptions = .standard) throws(SchemaError) {
        self.set = try SchemaSet(compiling: [.root], in: schema, options: options)
    }

    /// Everything that is wrong with `value`, at most `SchemaProblem.max` findings; none when it is valid.
    package func validate(_ value: JSONValue) -> [SchemaProblem] { self.set.validate(value, with: 0) }
}

/// Several schemas of one document that share what they refer to.
package struct SchemaSet: Sendable {
    /// Rules refer to one another by index.
    let rules: [SchemaRule]
    let resources: [SchemaResource]
    /// The rule of each place asked for.
    let roots: [Int]
    let stepsMax: Int
    /// Whether any `$dynamicRef` has to know where it was come from.
    let hasDynamicReferences: Bool

    /// Compiles the schemas at `places` of `document`, which need not be a schema itself; throws at the first mistake.
    package init(
        compiling places: [JSONPointer], in document: JSONValue, options: SchemaOptions = .tolerant
    ) throws(SchemaError) {
        var compiler: SchemaCompiler = try SchemaCompiler(document, isSchema: places == [.root], options)
        self.roots = try compiler.compile(places)
        self.rules = compiler.finishedRules
        self.resources = compiler.finishedResources
        self.stepsMax = options.stepsMax
        self.hasDynamicReferences = compiler.hasDynamicReferences
    }

    /// Everything that is wrong with `value` by the schema at the `root`th place, at most `SchemaProblem.max` findings.
    package func validate(_ value: JSONValue, with root: Int) -> [SchemaProblem] {
        var validator: SchemaValidator = SchemaValidator(self)
        return validator.validate(value, with: self.roots[root])
    }

    /// Kinds of values that the schema at the `root`th place names, following references: how a text is to be read.
    package func kinds(of root: Int) -> SchemaKinds { SchemaKinds.of(self.roots[root], in: self.rules) }
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
