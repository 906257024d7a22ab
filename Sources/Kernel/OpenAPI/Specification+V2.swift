/// OpenAPI (Swagger) 2.0, section by section of "Schema" in the specification.
extension Specification {
    static let v2: Specification = Specification(
        objects: described2.merging(messages2) { first, _ in first },
        sections: [
            .schema: ["definitions"], .parameter: ["parameters"], .response: ["responses"],
            .securityScheme: ["securityDefinitions"],
        ],
        keywords: SchemaKeyword.shared.merging(SchemaKeyword.v2) { _, own in own },
        methods: ["get", "put", "post", "delete", "options", "head", "patch"])

    private static let schemes: Shape = .list(.choice(["http", "https", "ws", "wss"]))

    private static let described2: [ObjectKind: ObjectShape] = [
        .root: ObjectShape(
            [
                "swagger": .string, "info": .object(.info), "host": .string, "basePath": .string, "schemes": schemes,
                "consumes": .list(.string), "produces": .list(.string), "paths": .paths,
                "definitions": .map(.referable(.schema)), "parameters": .map(.object(.parameter)),
                "responses": .map(.referable(.response)), "securityDefinitions": .map(.object(.securityScheme)),
                "security": .security, "tags": .list(.object(.tag)), "externalDocs": .object(.externalDocs),
            ], required: ["swagger", "info", "paths"]),
        .info: ObjectShape(
            [
                "title": .nonEmptyString, "description": .string, "termsOfService": .string,
                "contact": .object(.contact),
                "license": .object(.license), "version": .string,
            ], required: ["title", "version"]),
        .contact: ObjectShape(["name": .string, "url": .string, "email": .string]),
        .license: ObjectShape(["name": .string, "url": .string], required: ["name"]),
        .tag: ObjectShape(
            ["name": .string, "description": .string, "externalDocs": .object(.externalDocs)], required: ["name"]),
        .externalDocs: ObjectShape(["description": .string, "url": .string], required: ["url"]),
        .xml: ObjectShape([
            "name": .string, "namespace": .string, "prefix": .string, "attribute": .boolean, "wrapped": .boolean,
        ]),
        .securityScheme: ObjectShape(
            [
                "type": .choice(["basic", "apiKey", "oauth2"]), "description": .string, "name": .string,
                "in": .choice(["query", "header"]),
                "flow": .choice(["implicit", "password", "application", "accessCode"]),
                "authorizationUrl": .string, "tokenUrl": .string, "scopes": .map(.string),
            ], required: ["type"]),
    ]

    /// What parameters, their items and headers share.
    private static let primitive: ObjectShape = ObjectShape([
        "type": .choice(["string", "number", "integer", "boolean", "array"]), "format": .string,
        "items": .object(.items),
        "collectionFormat": .choice(["csv", "ssv", "tsv", "pipes"]), "default": .anything, "maximum": .number,
        "exclusiveMaximum": .boolean, "minimum": .number, "exclusiveMinimum": .boolean, "maxLength": .count,
        "minLength": .count, "pattern": .string, "maxItems": .count, "minItems": .count, "uniqueItems": .boolean,
        "enum": .list(.anything, atLeast: 1), "multipleOf": .number,
    ])

    private static let messages2: [ObjectKind: ObjectShape] = [
        .pathItem: ObjectShape([
            "$ref": .string, "get": .object(.operation), "put": .object(.operation), "post": .object(.operation),
            "delete": .object(.operation), "options": .object(.operation), "head": .object(.operation),
            "patch": .object(.operation), "parameters": .list(.referable(.parameter)),
        ]),
        .operation: ObjectShape(
            [
                "tags": .list(.string), "summary": .string, "description": .string,
                "externalDocs": .object(.externalDocs),
                "operationId": .string, "consumes": .list(.string), "produces": .list(.string),
                "parameters": .list(.referable(.parameter)), "responses": .responses, "schemes": schemes,
                "deprecated": .boolean, "security": .security,
            ], required: ["responses"]),
        .parameter: primitive.adding([
            "name": .string, "in": .choice(["query", "header", "path", "formData", "body"]), "description": .string,
            "required": .boolean, "allowEmptyValue": .boolean, "schema": .referable(.schema),
            "type": .choice(["string", "number", "integer", "boolean", "array", "file"]),
            "collectionFormat": .choice(["csv", "ssv", "tsv", "pipes", "multi"]),
        ]).requiring(["name", "in"]),
        .items: primitive.requiring(["type"]),
        .header: primitive.adding(["description": .string]).requiring(["type"]),
        .response: ObjectShape(
            [
                "description": .string, "schema": .referable(.schema), "headers": .map(.object(.header)),
                "examples": .map(.anything),
            ], required: ["description"]),
    ]
}
