package import Contracts
package import HTTP
package import JSON

/// One operation of the REST interface: what serves it, what it needs, and what `/openapi.json` says about it.
package struct Route: Sendable {
    /// Who may call the operation. Default deny: there is no way to leave it out.
    package enum Access: Sendable {
        /// Anyone, also without credentials (sign-in, documents that are public).
        case anyone
        /// Any authenticated caller; the handler shows only what is the caller's own.
        case authenticated
        /// A permission in the tenant named by the path's `{tenant}`.
        case tenant(Permission)
        /// A permission over the whole platform.
        case platform(Permission)
        /// A permission in the tenant named by the query's `tenant`; without it in all tenants, or in the only one the caller has
        /// a role in. `RequestContext.scope` says which. The route lists `QueryParameter.tenant`.
        case scoped(Permission)
        /// A gateway, by its token or its certificate.
        case gateway
        /// A gateway that asks for its certificate; also by a token that is good for nothing else.
        case enrolment
    }

    /// What an operation does about conditions by label, where its permission can have them (`Permission.isOfAPIs`).
    package enum Labels: String, Sendable {
        /// It is about one API: the handler decides with `RequestContext.requireAccess` where it reads the API.
        case api
        /// It shows what belongs to several: the handler leaves out what `RequestContext.isShown` refuses.
        case list
        /// It is about no one API: what is allowed for some alone is not allowed.
        case tenant
    }

    /// What the request body must be.
    package enum Body: Sendable {
        case none
        /// JSON that satisfies the schema (JSON Schema 2020-12), at most `bytesMax`.
        case json(JSONValue, bytesMax: Int = RESTHandler.bodyBytesMax)
        /// Bytes of one of these media types, at most `bytesMax`.
        case bytes(mediaTypes: [String], bytesMax: Int)
    }

    package let method: String
    /// Path with `{name}` segments, for example `/v1/tenants/{tenant}/apis`.
    package let path: String
    package let operationID: String
    /// The service that owns the operation.
    package let tag: String
    package let summary: String
    package let access: Access
    /// Nil where the permission can have no condition by label.
    package let labels: Labels?
    /// Whether who has a second factor must have shown it in the last minutes.
    package let isCritical: Bool
    /// Whether the operation sets up second factors: who has none yet must have signed in in the last minutes.
    package let isEnrolment: Bool
    package let query: [QueryParameter]
    /// Whether the handler reads the query itself: where a standard has its own rules for unknown and repeated parameters.
    package let readsRawQuery: Bool
    package let body: Body
    package let answers: [Answer]
    package let handler: @Sendable (RequestContext) async throws -> HTTPResponse

    package init(
        _ method: String, _ path: String, operationID: String, tag: String, summary: String, access: Access,
        labels: Labels? = nil, isCritical: Bool = false, isEnrolment: Bool = false, query: [QueryParameter] = [],
        readsRawQuery: Bool = false,
        body: Body = .none,
        answers: [Answer],
        handler: @escaping @Sendable (RequestContext) async throws -> HTTPResponse
    ) {
        self.method = method
        self.path = path
        self.operationID = operationID
        self.tag = tag
        self.summary = summary
        self.access = access
        self.labels = labels
        self.isCritical = isCritical
        self.isEnrolment = isEnrolment
        self.query = query
        self.readsRawQuery = readsRawQuery
        self.body = body
        self.answers = answers
        self.handler = handler
    }

    /// What is wrong with what the route says of itself; nil: nothing. Such a route is not served.
    var mistake: String? {
        let permission: Permission
        switch self.access {
        case .anyone, .authenticated, .gateway, .enrolment:
            return self.labels == nil ? nil : "labels decide only about permissions"
        case .tenant(let needed): permission = needed
        case .platform(let needed), .scoped(let needed):
            if self.labels == .api || self.labels == .list { return "an API belongs to the tenant of the path" }
            permission = needed
        }
        guard permission.isOfAPIs == (self.labels != nil) else {
            return permission.isOfAPIs
                ? "\(permission) can have conditions by label: say what the operation does about them"
                : "\(permission) can have no conditions by label"
        }
        return self.namesAPI && self.labels != .api && self.labels != .list
            ? "it names an API, so it is for a permission about APIs, with the API's labels" : nil
    }

    /// `api` means one thing throughout the interface, so a route that has it is about it.
    private var namesAPI: Bool {
        if RouteTable.segments(self.path).contains("{api}") { return true }
        if self.query.contains(where: { $0.name == "api" }) { return true }
        if case .json(let schema, _) = self.body { return schema["properties"]?["api"] != nil }
        return false
    }
}

/// A query parameter with the JSON Schema of its value, checked before the handler runs.
package struct QueryParameter: Sendable {
    package enum Kind: Sendable {
        case text(lengthMax: Int)
        case integer(ClosedRange<Int64>)
        case number(ClosedRange<Double>)
        case boolean
        case oneOf([String])
    }

    package let name: String
    package let kind: Kind
    package let summary: String
    package let isRequired: Bool

    package init(_ name: String, _ kind: Kind, _ summary: String, isRequired: Bool = false) {
        self.name = name
        self.kind = kind
        self.summary = summary
        self.isRequired = isRequired
    }

    /// What a scoped route is limited to.
    package static let tenant: QueryParameter = QueryParameter(
        "tenant", .text(lengthMax: 63),
        "Only what belongs to this tenant; all tenants when absent, for roles that reach all.")

    /// The two parameters of every list.
    package static let page: [QueryParameter] = [
        QueryParameter("limit", .integer(1...200), "Most items in one answer; 50 when absent."),
        QueryParameter("cursor", .text(lengthMax: 1_024), "Where the last answer ended: its `next`."),
    ]
}

/// One documented answer of an operation.
package struct Answer: Sendable {
    package let status: Int
    package let summary: String
    package let mediaType: String
    package let schema: JSONValue?

    package init(_ status: Int, _ summary: String, mediaType: String = "application/json", schema: JSONValue? = nil) {
        self.status = status
        self.summary = summary
        self.mediaType = mediaType
        self.schema = schema
    }
}

/// Short forms for the JSON Schemas of bodies and answers.
package enum Schema {
    /// An object that has exactly these members; those in `required` must be there.
    package static func object(_ properties: JSONObject, required: [String] = []) -> JSONValue {
        var schema: JSONObject = ["type": "object", "properties": .object(properties), "additionalProperties": false]
        if !required.isEmpty { schema["required"] = .array(required.map { JSONValue.string($0) }) }
        return .object(schema)
    }

    package static func text(min: Int = 0, max: Int) -> JSONValue {
        .object(["type": "string", "minLength": .int(Int64(min)), "maxLength": .int(Int64(max))])
    }

    package static func integer(_ range: ClosedRange<Int64>) -> JSONValue {
        .object(["type": "integer", "minimum": .int(range.lowerBound), "maximum": .int(range.upperBound)])
    }

    package static func number(_ range: ClosedRange<Double>) -> JSONValue {
        .object(["type": "number", "minimum": .double(range.lowerBound), "maximum": .double(range.upperBound)])
    }

    package static let boolean: JSONValue = .object(["type": "boolean"])
    package static let time: JSONValue = .object(["type": "string", "format": "date-time"])
    package static let anything: JSONValue = .object([:])

    package static func choice(_ values: [String]) -> JSONValue {
        .object(["type": "string", "enum": .array(values.map { JSONValue.string($0) })])
    }

    package static func array(_ items: JSONValue, max: Int = 10_000) -> JSONValue {
        .object(["type": "array", "items": items, "maxItems": .int(Int64(max))])
    }

    package static func optional(_ schema: JSONValue) -> JSONValue {
        .object(["anyOf": .array([schema, .object(["type": "null"])])])
    }

    /// The envelope of every list: `items` and the cursor of what follows, or null.
    package static func page(_ item: JSONValue) -> JSONValue {
        Self.object(
            ["items": Self.array(item), "next": Self.optional(Self.text(max: 1_024))], required: ["items", "next"])
    }
}
