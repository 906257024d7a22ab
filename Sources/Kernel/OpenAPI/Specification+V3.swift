/// OpenAPI 3.0.x and 3.1.x, section by section of "Schema" in the specifications.
extension Specification {
    static let v3_0: Specification = Specification(
        objects: described.merging(messages) { first, _ in first }.merging(secured) { first, _ in first },
        sections: sections3, keywords: SchemaKeyword.shared.merging(SchemaKeyword.v3_0) { _, own in own },
        methods: methods3)

    static let v3_1: Specification = Specification(
        objects: v3_0.objects.merging(changes3_1) { _, changed in changed },
        sections: sections3.merging([.pathItem: ["components", "pathItems"]]) { first, _ in first },
        keywords: SchemaKeyword.shared.merging(SchemaKeyword.v3_1) { _, own in own }, methods: methods3)

    private static let methods3: [String] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]

    private static let sections3: [ObjectKind: [String]] = [
        .schema: ["components", "schemas"], .response: ["components", "responses"],
        .parameter: ["components", "parameters"],
        .example: ["components", "examples"], .requestBody: ["components", "requestBodies"],
        .header: ["components", "headers"],
        .securityScheme: ["components", "securitySchemes"], .link: ["components", "links"],
        .callback: ["components", "callbacks"],
    ]

    private static let described: [ObjectKind: ObjectShape] = [
        .root: ObjectShape(
            [
                "openapi": .string, "info": .object(.info), "servers": .list(.object(.server)), "paths": .paths,
                "components": .object(.components), "security": .security, "tags": .list(.object(.tag)),
                "externalDocs": .object(.externalDocs),
            ], required: ["openapi", "info", "paths"]),
        .info: ObjectShape(
            [
                "title": .nonEmptyString, "description": .string, "termsOfService": .string,
                "contact": .object(.contact),
                "license": .object(.license), "version": .string,
            ], required: ["title", "version"]),
        .contact: ObjectShape(["name": .string, "url": .string, "email": .string]),
        .license: ObjectShape(["name": .string, "url": .string], required: ["name"]),
        .server: ObjectShape(
            ["url": .string, "description": .string, "variables": .map(.object(.serverVariable))], required: ["url"]),
        .serverVariable: ObjectShape(
            ["enum": .list(.string), "default": .string, "description": .string], required: ["default"]),
        .components: ObjectShape([
            "schemas": .map(.referable(.schema)), "responses": .map(.referable(.response)),
            "parameters": .map(.referable(.parameter)), "examples": .map(.referable(.example)),
            "requestBodies": .map(.referable(.requestBody)), "headers": .map(.referable(.header)),
            "securitySchemes": .map(.referable(.securityScheme)), "links": .map(.referable(.link)),
            "callbacks": .map(.referable(.callback)),
        ]),
        .tag: ObjectShape(
            ["name": .string, "description": .string, "externalDocs": .object(.externalDocs)], required: ["name"]),
        .externalDocs: ObjectShape(["description": .string, "url": .string], required: ["url"]),
        .discriminator: ObjectShape(["propertyName": .string, "mapping": .map(.string)], required: ["propertyName"]),
        .xml: ObjectShape([
            "name": .string, "namespace": .string, "prefix": .string, "attribute": .boolean, "wrapped": .boolean,
        ]),
    ]

    private static let styles: Shape = .choice([
        "matrix", "label", "form", "simple", "spaceDelimited", "pipeDelimited", "deepObject",
    ])

    private static let messages: [ObjectKind: ObjectShape] = [
        .pathItem: ObjectShape([
            "$ref": .string, "summary": .string, "description": .string, "get": .object(.operation),
            "put": .object(.operation),
            "post": .object(.operation), "delete": .object(.operation), "options": .object(.operation),
            "head": .object(.operation), "patch": .object(.operation), "trace": .object(.operation),
            "servers": .list(.object(.server)), "parameters": .list(.referable(.parameter)),
        ]),
        .operation: ObjectShape(
            [
                "tags": .list(.string), "summary": .string, "description": .string,
                "externalDocs": .object(.externalDocs),
                "operationId": .string, "parameters": .list(.referable(.parameter)),
                "requestBody": .referable(.requestBody),
                "responses": .responses, "callbacks": .map(.referable(.callback)), "deprecated": .boolean,
                "security": .security, "servers": .list(.object(.server)),
            ], required: ["responses"]),
        .parameter: ObjectShape(
            [
                "name": .string, "in": .choice(["query", "header", "path", "cookie"]), "description": .string,
                "required": .boolean, "deprecated": .boolean, "allowEmptyValue": .boolean, "style": styles,
                "explode": .boolean,
                "allowReserved": .boolean, "schema": .referable(.schema), "example": .anything,
                "examples": .map(.referable(.example)), "content": .map(.object(.mediaType)),
            ], required: ["name", "in"]),
        .header: ObjectShape([
            "description": .string, "required": .boolean, "deprecated": .boolean, "allowEmptyValue": .boolean,
            "style": styles, "explode": .boolean, "allowReserved": .boolean, "schema": .referable(.schema),
            "example": .anything, "examples": .map(.referable(.example)), "content": .map(.object(.mediaType)),
        ]),
        .requestBody: ObjectShape(
            ["description": .string, "content": .map(.object(.mediaType)), "required": .boolean], required: ["content"]),
        .mediaType: ObjectShape([
            "schema": .referable(.schema), "example": .anything, "examples": .map(.referable(.example)),
            "encoding": .map(.object(.encoding)),
        ]),
        .encoding: ObjectShape([
            "contentType": .string, "headers": .map(.referable(.header)), "style": styles, "explode": .boolean,
            "allowReserved": .boolean,
        ]),
        .response: ObjectShape(
            [
                "description": .string, "headers": .map(.referable(.header)), "content": .map(.object(.mediaType)),
                "links": .map(.referable(.link)),
            ], required: ["description"]),
        .example: ObjectShape([
            "summary": .string, "description": .string, "value": .anything, "externalValue": .string,
        ]),
        .link: ObjectShape([
            "operationRef": .string, "operationId": .string, "parameters": .map(.anything), "requestBody": .anything,
            "description": .string, "server": .object(.server),
        ]),
    ]

    private static let secured: [ObjectKind: ObjectShape] = [
        .securityScheme: ObjectShape(
            [
                "type": .choice(["apiKey", "http", "oauth2", "openIdConnect"]), "description": .string, "name": .string,
                "in": .choice(["query", "header", "cookie"]), "scheme": .string, "bearerFormat": .string,
                "flows": .object(.oauthFlows), "openIdConnectUrl": .string,
            ], required: ["type"]),
        .oauthFlows: ObjectShape([
            "implicit": .object(.oauthFlow), "password": .object(.oauthFlow), "clientCredentials": .object(.oauthFlow),
            "authorizationCode": .object(.oauthFlow),
        ]),
        .oauthFlow: ObjectShape(
            ["authorizationUrl": .string, "tokenUrl": .string, "refreshUrl": .string, "scopes": .map(.string)],
            required: ["scopes"]),
    ]

    private static let changes3_1: [ObjectKind: ObjectShape] = [
        .root: described[.root, default: ObjectShape([:])].adding([
            "jsonSchemaDialect": .string, "webhooks": .map(.referable(.pathItem)),
        ]).requiring(["openapi", "info"]),
        .info: described[.info, default: ObjectShape([:])].adding(["summary": .string]),
        .license: described[.license, default: ObjectShape([:])].adding(["identifier": .string]),
        .serverVariable: ObjectShape(
            ["enum": .list(.string, atLeast: 1), "default": .string, "description": .string], required: ["default"]),
        .components: described[.components, default: ObjectShape([:])].adding(["pathItems": .map(.referable(.pathItem))]
        ),
        .operation: messages[.operation, default: ObjectShape([:])].requiring([]),
        .securityScheme: secured[.securityScheme, default: ObjectShape([:])].adding([
            "type": .choice(["apiKey", "http", "mutualTLS", "oauth2", "openIdConnect"])
        ]),
    ]
}
