/// The objects of the OpenAPI specifications, by their names there.
enum ObjectKind: String, Sendable {
    case root = "OpenAPI"
    case info = "Info"
    case contact = "Contact"
    case license = "License"
    case server = "Server"
    case serverVariable = "Server Variable"
    case components = "Components"
    case pathItem = "Path Item"
    case operation = "Operation"
    case externalDocs = "External Documentation"
    case parameter = "Parameter"
    case items = "Items"
    case requestBody = "Request Body"
    case mediaType = "Media Type"
    case encoding = "Encoding"
    case response = "Response"
    case callback = "Callback"
    case example = "Example"
    case link = "Link"
    case header = "Header"
    case tag = "Tag"
    case securityScheme = "Security Scheme"
    case oauthFlows = "OAuth Flows"
    case oauthFlow = "OAuth Flow"
    case discriminator = "Discriminator"
    case xml = "XML"
    case schema = "Schema"
}

/// What a value must look like.
indirect enum Shape: Sendable {
    case anything
    case string
    case nonEmptyString
    case boolean
    case number
    /// An integer of at least 0.
    case count
    case choice([String])
    case list(Shape, atLeast: Int = 0)
    /// A mapping whose keys are names of the author's.
    case map(Shape)
    case object(ObjectKind)
    /// An object or a reference to one.
    case referable(ObjectKind)
    /// A Paths Object.
    case paths
    /// A Responses Object.
    case responses
    /// A list of Security Requirement Objects.
    case security
}

/// The fixed fields of one kind of object. `x-…` is allowed beside them everywhere.
struct ObjectShape: Sendable {
    let fields: [String: Shape]
    /// In the specification's order, for messages.
    let names: [String]
    let required: [String]

    init(_ fields: KeyValuePairs<String, Shape>, required: [String] = []) {
        var byName: [String: Shape] = [:]
        for (name, shape) in fields { byName[name] = shape }
        self.fields = byName
        self.names = fields.map(\.key)
        self.required = required
    }

    /// The same with more fields.
    func adding(_ fields: KeyValuePairs<String, Shape>) -> ObjectShape {
        var byName: [String: Shape] = self.fields
        for (name, shape) in fields { byName[name] = shape }
        return ObjectShape(fields: byName, names: self.names + fields.map(\.key), required: self.required)
    }

    /// The same with other required fields.
    func requiring(_ required: [String]) -> ObjectShape {
        ObjectShape(fields: self.fields, names: self.names, required: required)
    }

    private init(fields: [String: Shape], names: [String], required: [String]) {
        self.fields = fields
        self.names = names
        self.required = required
    }
}

/// The objects of one version of OpenAPI.
struct Specification: Sendable {
    let objects: [ObjectKind: ObjectShape]
    /// Where reusable objects of a kind live: the section's pointer tokens.
    let sections: [ObjectKind: [String]]
    /// Keywords of Schema Objects that are checked.
    let keywords: [String: SchemaKeyword]
    let methods: [String]

    static func of(_ version: OpenAPIVersion) -> Specification {
        switch version {
        case .v2: return .v2
        case .v3_0: return .v3_0
        case .v3_1: return .v3_1
        }
    }
}

/// What the value of a Schema Object's keyword must look like.
enum SchemaKeyword: Sendable {
    case plain(Shape)
    case schema
    case schemaOrBoolean
    case schemas
    case schemaMap
    /// `type`: one of these names, or with `orList` a list of them.
    case type([String], orList: Bool)
}
