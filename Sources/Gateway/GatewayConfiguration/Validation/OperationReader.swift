import JSON
import JSONSchema

/// Finds the operations of an OpenAPI document and the places of the schemas they refer to.
struct OperationReader {
    let isVersion30: Bool
    private(set) var requestPlaces: [JSONPointer] = []
    private(set) var responsePlaces: [JSONPointer] = []

    private let document: JSONValue
    private let checksResponses: Bool
    private var requestNumbers: [JSONPointer: Int] = [:]
    private var responseNumbers: [JSONPointer: Int] = [:]

    private static let methods: [String] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]
    /// References in a row.
    private static let referencesMax: Int = 32

    /// A value of the document and where it stands, references followed.
    private struct Found {
        let value: JSONValue
        let place: JSONPointer
    }

    private enum Direction {
        case request
        case response
    }

    init(_ document: JSONValue, checksResponses: Bool) {
        self.document = document
        self.checksResponses = checksResponses
        self.isVersion30 = document["openapi"]?.text?.hasPrefix("3.0") ?? false
    }

    mutating func read() throws(SchemaError) -> [ValidatedOperation] {
        guard let version: String = self.document["openapi"]?.text, version.hasPrefix("3.0") || version.hasPrefix("3.1")
        else { throw SchemaError(pointer: "/openapi", message: "expected an OpenAPI document of version 3.0 or 3.1") }
        guard let paths: JSONObject = self.document["paths"]?.object else {
            throw SchemaError(pointer: "/paths", message: "expected the paths of the API")
        }
        var operations: [ValidatedOperation] = []
        for (path, item) in paths.members where path.hasPrefix("/") {
            let found: Found = try self.follow(item, JSONPointer(tokens: ["paths", path]))
            for method in Self.methods {
                guard let operation: JSONValue = found.value[method] else { continue }
                operations.append(
                    try self.operation(
                        method, path, Found(value: operation, place: found.place.appending(method)), item: found))
            }
        }
        guard operations.count <= ValidationPlan.operationsMax else {
            throw SchemaError(pointer: "/paths", message: "expected at most \(ValidationPlan.operationsMax) operations")
        }
        return operations
    }

    private mutating func operation(
        _ method: String, _ path: String, _ operation: Found, item: Found
    ) throws(SchemaError) -> ValidatedOperation {
        let pattern: PathPattern
        do throws(PatternError) {
            pattern = try PathPattern(parsing: path)
        } catch {
            throw SchemaError(pointer: operation.place.text, message: error.message)
        }
        var parameters: [ValidatedParameter] = try self.parameters(of: operation)
        for inherited in try self.parameters(of: item)
        where !parameters.contains(where: { $0.name == inherited.name && $0.place == inherited.place }) {
            parameters.append(inherited)
        }
        var body: ValidatedBody?
        if let wanted: JSONValue = operation.value["requestBody"] {
            let found: Found = try self.follow(wanted, operation.place.appending("requestBody"))
            body = ValidatedBody(
                isRequired: found.value["required"]?.boolean ?? false, media: try self.media(found, .request))
        }
        return ValidatedOperation(
            method: method.uppercased(), segments: pattern.segments, parameters: parameters, body: body,
            responses: self.checksResponses ? try self.responses(of: operation) : [])
    }

    private mutating func parameters(of owner: Found) throws(SchemaError) -> [ValidatedParameter] {
        var parameters: [ValidatedParameter] = []
        for (index, element) in (owner.value["parameters"]?.elements ?? []).enumerated() {
            let found: Found = try self.follow(element, owner.place.appending("parameters").appending(index))
            guard let name: String = found.value["name"]?.text,
                let place: ValidatedParameter.Place = (found.value["in"]?.text).flatMap({ .init(rawValue: $0) })
            else {
                throw SchemaError(
                    pointer: found.place.text,
                    message: "expected a parameter with 'name', in path, query, header or cookie")
            }
            // Of these the gateway's other policies and the body's own rules decide (OpenAPI says to ignore them here).
            if place == .header, ["accept", "content-type", "authorization"].contains(name.lowercased()) { continue }
            parameters.append(try self.parameter(name, place, found, .request))
        }
        return parameters
    }

    private mutating func parameter(
        _ name: String, _ place: ValidatedParameter.Place, _ found: Found, _ direction: Direction
    ) throws(SchemaError) -> ValidatedParameter {
        let usual: ValidatedParameter.Style = place == .query || place == .cookie ? .form : .simple
        let word: String? = found.value["style"]?.text
        guard let style: ValidatedParameter.Style = word.map({ .init(rawValue: $0) }) ?? usual,
            (style == .simple) == (usual == .simple)
        else {
            throw SchemaError(
                pointer: found.place.appending("style").text, message: "the style '\(word ?? "")' is not supported here"
            )
        }
        var schema: Found? = found.value["schema"].map {
            Found(value: $0, place: found.place.appending("schema"))
        }
        var isJSON: Bool = false
        if let (range, media) = found.value["content"]?.object?.members.first {
            isJSON = MediaRange.isJSON(MediaRange.essence(range))
            let place: JSONPointer = found.place.appending("content").appending(range).appending("schema")
            schema = isJSON ? media["schema"].map { Found(value: $0, place: place) } : nil
        }
        var items: Int?
        var members: [String: Int] = [:]
        if let schema, !isJSON {
            let actual: Found = try self.follow(schema.value, schema.place)
            if actual.value["items"]?.object != nil { items = self.number(actual.place.appending("items"), direction) }
            for key in actual.value["properties"]?.object?.keys ?? [] {
                members[key] = self.number(actual.place.appending("properties").appending(key), direction)
            }
        }
        return ValidatedParameter(
            name: place == .header ? name.lowercased() : name, place: place,
            isRequired: place == .path || found.value["required"]?.boolean ?? false, style: style,
            explodes: found.value["explode"]?.boolean ?? (style == .form), isJSON: isJSON,
            schema: schema.map { self.number($0.place, direction) }, items: items, members: members)
    }

    private mutating func media(_ owner: Found, _ direction: Direction) throws(SchemaError) -> [ValidatedMedia] {
        var media: [ValidatedMedia] = []
        for (range, value) in owner.value["content"]?.object?.members ?? [] {
            let essence: String = MediaRange.essence(range)
            let place: JSONPointer = owner.place.appending("content").appending(range).appending("schema")
            let mayBeJSON: Bool = MediaRange.isJSON(essence) || essence.hasSuffix("/*")
            let schema: Int? = value["schema"] != nil && mayBeJSON ? self.number(place, direction) : nil
            media.append(ValidatedMedia(range: essence, schema: schema))
        }
        return media
    }

    private mutating func responses(of operation: Found) throws(SchemaError) -> [ValidatedResponse] {
        var responses: [ValidatedResponse] = []
        for (status, value) in operation.value["responses"]?.object?.members ?? [] where !status.hasPrefix("x-") {
            let found: Found = try self.follow(
                value, operation.place.appending("responses").appending(status))
            var headers: [ValidatedParameter] = []
            for (name, header) in found.value["headers"]?.object?.members ?? []
            where name.lowercased() != "content-type" {
                let header: Found = try self.follow(header, found.place.appending("headers").appending(name))
                headers.append(try self.parameter(name, .header, header, .response))
            }
            let media: [ValidatedMedia] = try self.media(found, .response)
            responses.append(
                ValidatedResponse(
                    status: status.uppercased(), headers: headers, body: ValidatedBody(isRequired: false, media: media))
            )
        }
        return responses
    }

    /// The number of the schema at a place; every place is compiled once.
    private mutating func number(_ place: JSONPointer, _ direction: Direction) -> Int {
        if direction == .request {
            if let known: Int = self.requestNumbers[place] { return known }
            self.requestNumbers[place] = self.requestPlaces.count
            self.requestPlaces.append(place)
            return self.requestPlaces.count - 1
        }
        if let known: Int = self.responseNumbers[place] { return known }
        self.responseNumbers[place] = self.responsePlaces.count
        self.responsePlaces.append(place)
        return self.responsePlaces.count - 1
    }

    /// What a reference into the document leads to, at last.
    private func follow(_ value: JSONValue, _ place: JSONPointer) throws(SchemaError) -> Found {
        var found: Found = Found(value: value, place: place)
        for _ in 0..<Self.referencesMax {
            guard let text: String = found.value["$ref"]?.text else { return found }
            guard let target: JSONPointer = JSONPointer(fragment: text),
                let next: JSONValue = target.resolve(in: self.document)
            else {
                throw SchemaError(pointer: found.place.text, message: "expected a reference into this document")
            }
            found = Found(value: next, place: target)
        }
        throw SchemaError(pointer: place.text, message: "expected a reference that leads somewhere")
    }
}

/// Media types and ranges.
enum MediaRange {
    /// Without parameters, in lower case.
    static func essence(_ text: String) -> String {
        String(text.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }).lowercased()
    }

    static func isJSON(_ essence: String) -> Bool {
        essence == "application/json" || essence == "text/json" || essence.hasSuffix("+json")
    }
}
