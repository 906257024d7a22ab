import Contracts
import JSON

/// Makes the OpenAPI 3.1 document of the REST interface from the route definitions that serve it.
enum APIDescription {
    static func make(routes: [Route], version: String) -> JSONValue {
        var paths: JSONObject = [:]
        for route in routes {
            var item: JSONObject = paths[route.path]?.object ?? [:]
            item[route.method.lowercased()] = self.operation(route)
            paths[route.path] = .object(item)
        }
        return .object([
            "openapi": "3.1.0",
            "info": .object([
                "title": "Passerelle", "version": .string(version),
                "description": "Publishes APIs for many tenants, deploys them to gateways, and proves who did what.",
                "license": .object(["name": "Apache-2.0", "identifier": "Apache-2.0"]),
            ]),
            "paths": .object(paths),
            "components": .object([
                "securitySchemes": .object(["bearer": .object(["type": "http", "scheme": "bearer"])]),
                "schemas": .object(["Problem": self.problem]),
            ]),
        ])
    }

    private static func operation(_ route: Route) -> JSONValue {
        var operation: JSONObject = [
            "operationId": .string(route.operationID), "summary": .string(route.summary),
            "tags": .array([.string(route.tag)]),
        ]
        var parameters: [JSONValue] = []
        for segment in RouteTable.segments(route.path) where segment.utf8.first == UInt8(ascii: "{") {
            parameters.append(
                .object([
                    "name": .string(String(segment.dropFirst().dropLast())), "in": "path", "required": true,
                    "schema": .object(["type": "string"]),
                ]))
        }
        for parameter in route.query {
            parameters.append(
                .object([
                    "name": .string(parameter.name), "in": "query", "required": .bool(parameter.isRequired),
                    "description": .string(parameter.summary), "schema": parameter.kind.schema,
                ]))
        }
        if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
        if let body: JSONValue = self.body(route.body) { operation["requestBody"] = body }
        operation["responses"] = self.responses(route)
        self.describeAccess(route.access, labels: route.labels, isCritical: route.isCritical, in: &operation)
        return .object(operation)
    }

    private static func body(_ body: Route.Body) -> JSONValue? {
        switch body {
        case .none: return nil
        case .json(let schema, _):
            return .object(["required": true, "content": .object(["application/json": .object(["schema": schema])])])
        case .bytes(let mediaTypes, _):
            var content: JSONObject = [:]
            for type in mediaTypes { content[type] = .object([:]) }
            return .object(["required": true, "content": .object(content)])
        }
    }

    private static func responses(_ route: Route) -> JSONValue {
        var responses: JSONObject = [:]
        for answer in route.answers {
            var response: JSONObject = ["description": .string(answer.summary)]
            // An operation that answers in several forms has an answer for each of them.
            var content: JSONObject = responses[String(answer.status)]?["content"]?.object ?? [:]
            if let schema: JSONValue = answer.schema {
                content[answer.mediaType] = .object(["schema": schema])
            } else if answer.mediaType != "application/json" {
                content[answer.mediaType] = .object([:])
            }
            if !content.members.isEmpty { response["content"] = .object(content) }
            responses[String(answer.status)] = .object(response)
        }
        responses["default"] = .object([
            "description": "A problem (RFC 9457).",
            "content": .object([
                "application/problem+json": .object(["schema": .object(["$ref": "#/components/schemas/Problem"])])
            ]),
        ])
        return .object(responses)
    }

    private static func describeAccess(
        _ access: Route.Access, labels: Route.Labels?, isCritical: Bool, in operation: inout JSONObject
    ) {
        switch access {
        case .anyone: operation["x-access"] = "anyone"
        case .authenticated: operation["x-access"] = "authenticated"
        case .gateway, .enrolment: operation["x-access"] = "gateway"
        case .tenant(let permission): (operation["x-access"], operation["x-permission"]) = ("tenant", permission.json)
        case .platform(let permission):
            (operation["x-access"], operation["x-permission"]) = ("platform", permission.json)
        case .scoped(let permission): (operation["x-access"], operation["x-permission"]) = ("scoped", permission.json)
        }
        if let labels: Route.Labels { operation["x-labels"] = .string(labels.rawValue) }
        if isCritical { operation["x-critical"] = true }
        if case .anyone = access {
            operation["security"] = .array([])
        } else {
            operation["security"] = .array([.object(["bearer": .array([])])])
        }
    }

    private static let problem: JSONValue = .object([
        "type": "object",
        "required": .array(["type", "title", "status"]),
        "properties": .object([
            "type": .object(["type": "string"]), "title": .object(["type": "string"]),
            "status": .object(["type": "integer"]),
            "detail": .object(["type": "string"]), "instance": .object(["type": "string"]),
            "trace_id": .object(["type": "string"]),
            "errors": .object([
                "type": "array",
                "items": .object([
                    "type": "object",
                    "properties": .object([
                        "pointer": .object(["type": "string"]), "detail": .object(["type": "string"]),
                    ]),
                ]),
            ]),
        ]),
    ])
}

extension Permission {
    fileprivate var json: JSONValue { .string(self.description) }
}
