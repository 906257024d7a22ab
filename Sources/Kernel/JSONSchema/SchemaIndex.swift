import Bytes
import JSON

/// A place in one of the documents a schema is spread over.
struct SchemaPlace: Hashable, Sendable {
    var document: Int
    var pointer: JSONPointer

    func appending(_ token: String) -> SchemaPlace {
        SchemaPlace(document: self.document, pointer: self.pointer.appending(token))
    }

    func appending(_ index: Int) -> SchemaPlace {
        SchemaPlace(document: self.document, pointer: self.pointer.appending(index))
    }
}

/// A schema with its own URI (2020-12 section 4.3.5): the root of a document, or one with `$id`.
struct SchemaResource: Sendable {
    let uri: String
    let place: SchemaPlace
    /// Places by `$anchor` and `$dynamicAnchor`.
    var anchors: [String: SchemaPlace] = [:]
    /// Places by `$dynamicAnchor`; the rules are filled in when compiling is done.
    var dynamicPlaces: [String: SchemaPlace] = [:]
    var dynamicRules: [String: Int] = [:]
    /// Whether the vocabulary of its meta-schema has the keywords that check values.
    var checksValues: Bool = true
    /// Whether it demands that formats are checked.
    var checksFormats: Bool = false
}

/// The documents, their resources and what they are called by.
struct SchemaIndex {
    private(set) var documents: [JSONValue] = []
    private(set) var resources: [SchemaResource] = []
    private var byURI: [String: Int] = [:]
    private var byPlace: [SchemaPlace: Int] = [:]
    /// Documents that may be referred to, read when the first reference comes.
    private var available: [String: JSONValue]
    private var scanned: Set<SchemaPlace> = []

    /// More would be a mistake, or an attack.
    private static let resourcesMax: Int = 2000

    init(_ document: JSONValue, isSchema: Bool, _ options: SchemaOptions) throws(SchemaError) {
        self.available = options.documents
        self.documents.append(document)
        let root: SchemaPlace = SchemaPlace(document: 0, pointer: .root)
        _ = try self.addResource(URIReference(options.baseURI).documentText, at: root)
        if isSchema { try self.scan(root, resource: 0) }
    }

    func value(at place: SchemaPlace) -> JSONValue? { place.pointer.resolve(in: self.documents[place.document]) }

    /// The resource that a place belongs to: that of the nearest schema around it with a URI of its own.
    func resource(of place: SchemaPlace) -> Int {
        var tokens: [String] = place.pointer.tokens
        while true {
            let around: SchemaPlace = SchemaPlace(document: place.document, pointer: JSONPointer(tokens: tokens))
            if let known: Int = self.byPlace[around] { return known }
            if tokens.isEmpty { return 0 }
            tokens.removeLast()
        }
    }

    mutating func setRule(_ rule: Int, forDynamicAnchor name: String, of resource: Int) {
        self.resources[resource].dynamicRules[name] = rule
    }

    // MARK: Finding

    /// The place that `reference` means when a schema of `resource` says it.
    mutating func find(_ reference: String, from resource: Int, at source: SchemaPlace) throws(SchemaError)
        -> SchemaPlace
    {
        let target: URIReference = URIReference(reference).resolved(against: URIReference(self.resources[resource].uri))
        guard let found: Int = try self.resource(named: target.documentText) else {
            throw self.error(
                "expected a reference into this document, such as \"#/$defs/name\", or to one that was given with it",
                at: source)
        }
        let root: SchemaPlace = self.resources[found].place
        guard let fragment: String = target.fragment, !fragment.isEmpty else { return root }
        guard let decoded: JSONPointer = JSONPointer(fragment: "#" + fragment) else {
            if let anchor: SchemaPlace = self.resources[found].anchors[fragment] { return anchor }
            throw self.error("expected a schema at \(Quoted.text(reference)), found nothing", at: source)
        }
        let place: SchemaPlace = SchemaPlace(
            document: root.document, pointer: JSONPointer(tokens: root.pointer.tokens + decoded.tokens))
        guard self.value(at: place) != nil else {
            throw self.error("expected a schema at \(Quoted.text(reference)), found nothing", at: source)
        }
        // Where no keyword leads, nothing has been looked at yet.
        try self.scan(place, resource: self.resource(of: place))
        return place
    }

    private mutating func resource(named uri: String) throws(SchemaError) -> Int? {
        if let known: Int = self.byURI[uri] { return known }
        guard let document: JSONValue = self.available.removeValue(forKey: uri) else { return nil }
        let root: SchemaPlace = SchemaPlace(document: self.documents.count, pointer: .root)
        self.documents.append(document)
        let resource: Int = try self.addResource(uri, at: root)
        try self.scan(root, resource: resource)
        // A document may call itself otherwise; both names are good.
        return resource
    }

    func error(_ message: String, at place: SchemaPlace) -> SchemaError {
        SchemaError(pointer: place.pointer.text, message: message)
    }

    // MARK: Looking through

    private mutating func addResource(_ uri: String, at place: SchemaPlace) throws(SchemaError) -> Int {
        guard self.resources.count < Self.resourcesMax else {
            throw self.error("expected at most \(Self.resourcesMax) schemas with an $id", at: place)
        }
        let index: Int = self.resources.count
        self.resources.append(SchemaResource(uri: uri, place: place))
        self.byURI[uri] = index
        self.byPlace[place] = index
        return index
    }

    /// Notes `$id`, `$anchor` and `$dynamicAnchor` of a schema and all below it, going only where keywords lead to schemas.
    mutating func scan(_ start: SchemaPlace, resource: Int) throws(SchemaError) {
        var pending: [(place: SchemaPlace, resource: Int)] = [(start, resource)]
        while let (place, outer): (SchemaPlace, Int) = pending.popLast() {
            guard self.scanned.insert(place).inserted, case .object(let object)? = self.value(at: place) else {
                continue
            }
            guard place.pointer.tokens.count <= SchemaCompiler.depthMax else {
                throw self.error("expected at most \(SchemaCompiler.depthMax) levels of nesting", at: place)
            }
            let inner: Int = try self.note(object, at: place, resource: outer)
            for member: JSONObject.Member in object.members {
                switch SchemaKeyword.holds(member.key) {
                case .nothing: continue
                case .schema: pending.append((place.appending(member.key), inner))
                case .list:
                    for index: Int in (member.value.elements ?? []).indices {
                        pending.append((place.appending(member.key).appending(index), inner))
                    }
                case .map:
                    for name: String in member.value.object?.keys ?? [] {
                        pending.append((place.appending(member.key).appending(name), inner))
                    }
                }
            }
        }
    }

    private mutating func note(_ object: JSONObject, at place: SchemaPlace, resource: Int) throws(SchemaError) -> Int {
        var resource: Int = resource
        if let id: String = object["$id"]?.text {
            let uri: URIReference = URIReference(id).resolved(against: URIReference(self.resources[resource].uri))
            guard uri.fragment ?? "" == "" else {
                throw self.error("expected a URI without a fragment", at: place.appending("$id"))
            }
            if let own: Int = self.byPlace[place] {
                // The root of a document, known already under the name it was given by.
                self.byURI[uri.documentText] = own
                self.resources[own] = SchemaResource(uri: uri.documentText, place: place)
                resource = own
            } else {
                guard self.byURI[uri.documentText] == nil else {
                    throw self.error("expected an $id that no other schema has", at: place.appending("$id"))
                }
                let inherited: (Bool, Bool) = (
                    self.resources[resource].checksValues, self.resources[resource].checksFormats
                )
                resource = try self.addResource(uri.documentText, at: place)
                (self.resources[resource].checksValues, self.resources[resource].checksFormats) = inherited
            }
        }
        if let name: String = object["$schema"]?.text { try self.readVocabulary(name, of: resource, at: place) }
        for key: String in ["$anchor", "$dynamicAnchor"] {
            guard let name: String = object[key]?.text else { continue }
            guard Self.isAnchor(name) else {
                throw self.error(
                    "expected a name of letters, digits, '-', '_' and '.', starting with a letter or '_'",
                    at: place.appending(key))
            }
            if let other: SchemaPlace = self.resources[resource].anchors[name], other != place {
                throw self.error("expected an anchor that no other schema here has", at: place.appending(key))
            }
            self.resources[resource].anchors[name] = place
            if key == "$dynamicAnchor" { self.resources[resource].dynamicPlaces[name] = place }
        }
        return resource
    }

    private static func isAnchor(_ text: String) -> Bool {
        guard let first: UInt8 = text.utf8.first, NameFormat.isLetter(first) || first == UInt8(ascii: "_") else {
            return false
        }
        return text.utf8.allSatisfy { NameFormat.isLetter($0) || NameFormat.isDigit($0) || "-_.".utf8.contains($0) }
    }

    /// `$schema`: the draft, and what the meta-schema's `$vocabulary` leaves out, when we have it.
    private mutating func readVocabulary(_ name: String, of resource: Int, at place: SchemaPlace) throws(SchemaError) {
        for draft: String in SchemaKeyword.otherDrafts where name.contains(draft) {
            throw self.error("expected a schema of draft 2020-12", at: place.appending("$schema"))
        }
        guard let vocabulary: JSONObject = self.available[name]?["$vocabulary"]?.object else { return }
        let prefix: String = "https://json-schema.org/draft/2020-12/vocab/"
        for member: JSONObject.Member in vocabulary.members
        where member.value == true && !member.key.hasPrefix(prefix) {
            throw self.error("expected a meta-schema without a vocabulary of its own", at: place.appending("$schema"))
        }
        self.resources[resource].checksValues = vocabulary[prefix + "validation"] != nil
        self.resources[resource].checksFormats = vocabulary[prefix + "format-assertion"] != nil
    }
}

/// What keywords hold.
enum SchemaKeyword {
    enum Holding { case nothing, schema, list, map }

    static func holds(_ keyword: String) -> Holding {
        switch keyword {
        case "additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else",
            "unevaluatedItems", "unevaluatedProperties", "contentSchema":
            return .schema
        case "prefixItems", "allOf", "anyOf", "oneOf": return .list
        case "properties", "patternProperties", "dependentSchemas", "$defs", "definitions": return .map
        default: return .nothing
        }
    }

    static let otherDrafts: [String] = ["draft-03/", "draft-04/", "draft-06/", "draft-07/", "draft/2019-09/"]

    /// Keywords of the validation vocabulary, which a meta-schema can leave out.
    static let validation: Set<String> = [
        "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
        "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains",
        "maxProperties", "minProperties", "required", "dependentRequired",
    ]

    /// Keywords that check nothing.
    static let notes: Set<String> = [
        "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment",
        "$vocabulary", "contentEncoding", "contentMediaType", "$anchor", "$dynamicAnchor", "$schema", "$id",
    ]

    /// All that are known, for suggestions.
    static let all: [String] =
        validation.sorted() + [
            "properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames",
            "dependentSchemas", "items", "prefixItems", "unevaluatedItems", "contains", "allOf", "anyOf", "oneOf",
            "not", "if", "then", "else", "format", "$ref", "$dynamicRef", "$defs",
        ]
}
