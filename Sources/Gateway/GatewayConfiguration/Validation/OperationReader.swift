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
    /// Schemas that one schema is put together from, at most; what more there is is not looked at for members.
    private static let partsMax: Int = 64
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
        let style: ValidatedParameter.Style = try self.style(of: found, place.styles)
        var schema: Found? = found.value["schema"].map {
            Found(value: $0, place: found.place.appending("schema"))
        }
        var isJSON: Bool = false
        if let (range, media) = found.value["content"]?.object?.members.first {
            isJSON = MediaRange.isJSON(MediaRange.essence(range))
            let place: JSONPointer = found.place.appending("content").appending(range).appending("schema")
            schema = isJSON ? media["schema"].map { Found(value: $0, place: place) } : nil
        }
        var shape: Shape = Shape()
        if !isJSON, let schema { shape = try self.shape(of: schema, direction) }
        return ValidatedParameter(
            name: place == .header ? name.lowercased() : name, place: place,
            isRequired: place == .path || found.value["required"]?.boolean ?? false, style: style,
            explodes: found.value["explode"]?.boolean ?? (style == .form), isJSON: isJSON,
            schema: schema.map { self.number($0.place, direction) }, items: shape.items, members: shape.members)
    }

    /// The style that stands there, or the usual one: the first of those that may.
    private func style(
        of found: Found, _ styles: [ValidatedParameter.Style]
    ) throws(SchemaError) -> ValidatedParameter.Style {
        guard let word: String = found.value["style"]?.text else { return styles[0] }
        guard let style: ValidatedParameter.Style = .init(rawValue: word), styles.contains(style) else {
            throw SchemaError(
                pointer: found.place.appending("style").text,
                message: "expected one of \(styles.map(\.rawValue).joined(separator: ", ")), found '\(word)'")
        }
        return style
    }

    /// What an array's elements and an object's members are read by.
    private struct Shape {
        var items: Int?
        var members: [String: Int] = [:]
    }

    private mutating func shape(of schema: Found, _ direction: Direction) throws(SchemaError) -> Shape {
        var shape: Shape = Shape()
        for part in try self.parts(of: schema) {
            if shape.items == nil, part.value["items"]?.object != nil {
                shape.items = self.number(part.place.appending("items"), direction)
            }
            for key in part.value["properties"]?.object?.keys ?? [] where shape.members[key] == nil {
                shape.members[key] = self.number(part.place.appending("properties").appending(key), direction)
            }
        }
        return shape
    }

    /// A schema and those it is put together from, references followed.
    private func parts(of schema: Found) throws(SchemaError) -> [Found] {
        var parts: [Found] = []
        var waiting: [Found] = [schema]
        while let next: Found = waiting.popLast(), parts.count < Self.partsMax {
            let found: Found = try self.follow(next.value, next.place)
            if parts.contains(where: { $0.place == found.place }) { continue }
            parts.append(found)
            // In the order they stand: the last one waiting is the next.
            for word in ["oneOf", "anyOf", "allOf"] {
                for (index, element) in (found.value[word]?.elements ?? []).enumerated().reversed() {
                    waiting.append(Found(value: element, place: found.place.appending(word).appending(index)))
                }
            }
        }
        return parts
    }

    private mutating func media(_ owner: Found, _ direction: Direction) throws(SchemaError) -> [ValidatedMedia] {
        var media: [ValidatedMedia] = []
        for (range, value) in owner.value["content"]?.object?.members ?? [] {
            let essence: String = MediaRange.essence(range)
            let place: JSONPointer = owner.place.appending("content").appending(range).appending("schema")
            let mayBeJSON: Bool = MediaRange.isJSON(essence) || essence.hasSuffix("/*")
            let isForm: Bool =
                direction == .request && (essence == ValidatedForm.urlEncoded || essence == ValidatedForm.multipart)
            var schema: Int?
            var form: ValidatedForm?
            if let wanted: JSONValue = value["schema"], mayBeJSON || isForm {
                schema = self.number(place, direction)
                if isForm {
                    let entry: Found = Found(value: value, place: owner.place.appending("content").appending(range))
                    form = try self.form(
                        Found(value: wanted, place: place), of: entry, hasParts: essence == ValidatedForm.multipart)
                }
            }
            media.append(ValidatedMedia(range: essence, schema: schema, form: form))
        }
        return media
    }

    /// The fields of a form, by the properties of its schema and what `encoding` says about them.
    private mutating func form(
        _ schema: Found, of media: Found, hasParts: Bool
    ) throws(SchemaError) -> ValidatedForm {
        var fields: [String: ValidatedForm.Field] = [:]
        for part in try self.parts(of: schema) {
            for (name, property) in part.value["properties"]?.object?.members ?? [] where fields[name] == nil {
                let place: JSONPointer = part.place.appending("properties").appending(name)
                let encoding: Found = Found(
                    value: media.value["encoding"]?[name] ?? .null,
                    place: media.place.appending("encoding").appending(name))
                let style: ValidatedParameter.Style = try self.style(
                    of: encoding, ValidatedParameter.Place.query.styles)
                let shape: Shape = try self.shape(of: Found(value: property, place: place), .request)
                let types: String = encoding.value["contentType"]?.text ?? ""
                // Only these make the field one of several parameters (OpenAPI 3.1.1, 4.8.15.1.2).
                let isStyled: Bool = encoding.value["style"] != nil || encoding.value["explode"] != nil
                fields[name] = ValidatedForm.Field(
                    parameter: ValidatedParameter(
                        name: name, place: .query, isRequired: false, style: style,
                        explodes: encoding.value["explode"]?.boolean ?? (style == .form), isJSON: false,
                        schema: self.number(place, .request), items: shape.items, members: shape.members),
                    objectsAreJSON: !isStyled,
                    types: types.split(separator: ",").map { MediaRange.essence(String($0)) },
                    headers: hasParts ? try self.headers(of: encoding, .request) : [])
            }
        }
        return ValidatedForm(fields: fields)
    }

    private mutating func responses(of operation: Found) throws(SchemaError) -> [ValidatedResponse] {
        var responses: [ValidatedResponse] = []
        for (status, value) in operation.value["responses"]?.object?.members ?? [] where !status.hasPrefix("x-") {
            let found: Found = try self.follow(
                value, operation.place.appending("responses").appending(status))
            let headers: [ValidatedParameter] = try self.headers(of: found, .response)
            let media: [ValidatedMedia] = try self.media(found, .response)
            responses.append(
                ValidatedResponse(
                    status: status.uppercased(), headers: headers, body: ValidatedBody(isRequired: false, media: media))
            )
        }
        return responses
    }

    /// The fields that an object's `headers` describe, but `Content-Type`, which is described elsewhere.
    private mutating func headers(
        of owner: Found, _ direction: Direction
    ) throws(SchemaError) -> [ValidatedParameter] {
        var headers: [ValidatedParameter] = []
        for (name, header) in owner.value["headers"]?.object?.members ?? [] where name.lowercased() != "content-type" {
            let header: Found = try self.follow(header, owner.place.appending("headers").appending(name))
            headers.append(try self.parameter(name, .header, header, direction))
        }
        return headers
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

extension ValidatedParameter.Place {
    /// The styles that parameters of this place may have, the usual one first (OpenAPI 3.1.1, 4.8.12.3).
    fileprivate var styles: [ValidatedParameter.Style] {
        switch self {
        case .path: return [.simple, .label, .matrix]
        case .query: return [.form, .spaceDelimited, .pipeDelimited, .deepObject]
        case .header: return [.simple]
        case .cookie: return [.form]
        }
    }
}
