/// Documents that use every object of their version once.
enum Examples {
    static let v3_0: String = """
        openapi: 3.0.3
        info:
          title: Orders
          description: Orders and their items
          termsOfService: https://example.com/terms
          contact: {name: Team, url: https://example.com, email: team@example.com}
          license: {name: Apache-2.0, url: https://www.apache.org/licenses/LICENSE-2.0}
          version: 1.4.0
          x-owner: [team, 1, null]
        servers:
          - url: https://{region}.example.com/{stage}/v1/
            description: Production
            variables:
              region: {default: eu, enum: [eu, us], description: Where}
              stage: {default: live}
          - url: /v1
        tags:
          - name: orders
            description: All about orders
            externalDocs: {url: https://example.com/docs, description: More}
        externalDocs: {url: https://example.com}
        security:
          - key: []
          - oauth: [read, write]
          - {}
        paths:
          x-note: free
          /orders:
            summary: All orders
            parameters:
              - $ref: '#/components/parameters/page'
            get:
              tags: [orders]
              summary: List orders
              operationId: listOrders
              responses:
                200:
                  description: OK
                  headers:
                    X-Total: {schema: {type: integer}}
                    X-Shared: {$ref: '#/components/headers/shared'}
                  content:
                    application/json:
                      schema: {type: array, items: {$ref: '#/components/schemas/Order'}}
                      examples:
                        one: {$ref: '#/components/examples/one'}
                  links:
                    first: {operationId: getOrder, parameters: {id: $response.body#/0/id}}
                4XX: {$ref: '#/components/responses/failed'}
                default: {description: Anything else}
            post:
              requestBody: {$ref: '#/components/requestBodies/order'}
              deprecated: true
              security: []
              callbacks:
                changed:
                  '{$request.body#/callbackUrl}':
                    post:
                      operationId: orderChanged
                      responses: {'204': {description: Taken}}
                shared: {$ref: '#/components/callbacks/shared'}
              responses:
                '201': {description: Made}
          /orders/{id}:
            parameters:
              - {name: id, in: path, required: true, schema: {type: string, format: uuid}}
            get:
              operationId: getOrder
              servers: [{url: 'https://read.example.com'}]
              responses: {'200': {description: OK}}
            put:
              parameters:
                - name: filter
                  in: query
                  content: {application/json: {schema: {type: object}}}
              requestBody:
                required: true
                content:
                  multipart/form-data:
                    schema: {type: object, properties: {file: {type: string, format: binary}}}
                    encoding:
                      file: {contentType: image/png, headers: {X-A: {schema: {type: string}}}, style: form, explode: true}
              responses: {'200': {description: OK}}
          /files/{name}.{ext}:
            $ref: '#/x-shared/files'
        x-shared:
          files:
            parameters:
              - {name: name, in: path, required: true, schema: {type: string}}
              - {name: ext, in: path, required: true, schema: {type: string}}
            get: {summary: A file, responses: {'200': {description: OK}}}
        components:
          schemas:
            Order:
              type: object
              required: [id]
              discriminator: {propertyName: kind, mapping: {tree: '#/components/schemas/Tree', other: Order}}
              properties:
                id: {type: string, minLength: 1, maxLength: 36, pattern: '^[a-z]+$', readOnly: true}
                amount: {type: number, minimum: 0, exclusiveMinimum: true, multipleOf: 0.01, nullable: true}
                tags: {type: array, items: {type: string}, minItems: 0, maxItems: 5, uniqueItems: true}
                next: {$ref: '#/components/schemas/Order'}
              additionalProperties: false
              xml: {name: order, attribute: false}
              example: {id: a}
            Tree:
              allOf:
                - $ref: '#/components/schemas/Order'
                - type: object
                  properties:
                    children: {type: array, items: {$ref: '#/components/schemas/Tree'}}
                  additionalProperties: {$ref: '#/components/schemas/Tree'}
            Choice:
              oneOf: [{$ref: '#/components/schemas/Order'}, {not: {type: string}}]
              anyOf: [{type: object}]
          parameters:
            page: {name: page, in: query, style: form, explode: false, schema: {type: integer, default: 1}}
          responses:
            failed: {description: Failed}
          examples:
            one: {summary: One, value: [{id: a}]}
          requestBodies:
            order: {content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
          headers:
            shared: {description: Shared, content: {text/plain: {}}}
          securitySchemes:
            key: {type: apiKey, in: header, name: X-API-Key}
            basic: {type: http, scheme: basic}
            oidc: {type: openIdConnect, openIdConnectUrl: 'https://example.com/.well-known'}
            oauth:
              type: oauth2
              flows:
                implicit: {authorizationUrl: 'https://a', scopes: {read: Read, write: Write}}
                password: {tokenUrl: 'https://t', refreshUrl: 'https://r', scopes: {}}
                clientCredentials: {tokenUrl: 'https://t', scopes: {}}
                authorizationCode: {authorizationUrl: 'https://a', tokenUrl: 'https://t', scopes: {}}
          links:
            again: {operationRef: '#/paths/~1orders/get', server: {url: /}}
          callbacks:
            shared: {'{$url}': {post: {responses: {'204': {description: Taken}}}}}
        """

    static let v3_1: String = """
        openapi: 3.1.0
        jsonSchemaDialect: https://spec.openapis.org/oas/3.1/dialect/base
        info: {title: Events, summary: Short, version: '2', license: {name: MIT, identifier: MIT}}
        paths:
          /events/{id}:
            $ref: '#/components/pathItems/event'
        webhooks:
          created:
            post: {operationId: onCreated, requestBody: {content: {application/json: {schema: true}}}}
        components:
          pathItems:
            event:
              parameters:
                - {name: id, in: path, required: true, schema: {type: [string, 'null']}}
              get:
                operationId: getEvent
                responses: {2XX: {description: OK, content: {application/json: {schema: {$ref: Event.json}}}}}
          schemas:
            Event:
              $id: Event.json
              type: [object, 'null']
              exclusive: kept
              properties:
                count: {type: integer, exclusiveMinimum: 0, examples: [1]}
                self: {$ref: '#node', description: beside a reference}
                data: {if: {type: string}, then: {const: a}, else: false, prefixItems: [true], contains: {type: integer}}
                bytes: {contentEncoding: base64, contentMediaType: application/octet-stream}
              patternProperties: {'^x': {type: string}}
              propertyNames: {maxLength: 9}
              unevaluatedProperties: false
              dependentSchemas: {count: {required: []}}
              $defs: {inner: {$anchor: node, type: object}}
          securitySchemes:
            mutual: {type: mutualTLS}
        """

    static let v2: String = """
        {
          "swagger": "2.0",
          "info": {"title": "Stores", "version": "1.0", "contact": {"email": "a@b.c"}, "license": {"name": "MIT"}},
          "host": "api.example.com:8443", "basePath": "/v2/", "schemes": ["https", "http"],
          "consumes": ["application/json"], "produces": ["application/json"],
          "tags": [{"name": "stores"}],
          "security": [{"key": []}],
          "paths": {
            "/stores/{id}": {
              "parameters": [{"$ref": "#/parameters/id"}],
              "get": {
                "tags": ["stores"], "operationId": "getStore", "summary": "One store",
                "parameters": [
                  {"name": "q", "in": "query", "type": "array", "items": {"type": "string", "enum": ["a"]}, "collectionFormat": "multi"}
                ],
                "responses": {
                  "200": {"description": "OK", "schema": {"$ref": "#/definitions/Store"}, "headers": {"X-A": {"type": "integer"}},
                          "examples": {"application/json": {"id": 1}}},
                  "default": {"$ref": "#/responses/failed"}
                }
              },
              "put": {
                "deprecated": true, "schemes": ["https"], "security": [],
                "parameters": [{"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Store"}}],
                "responses": {"204": {"description": "Changed"}}
              },
              "post": {
                "consumes": ["multipart/form-data"],
                "parameters": [{"name": "file", "in": "formData", "type": "file"}],
                "responses": {"201": {"description": "Made"}}
              }
            }
          },
          "parameters": {"id": {"name": "id", "in": "path", "required": true, "type": "integer", "format": "int64", "minimum": 1}},
          "responses": {"failed": {"description": "Failed"}},
          "definitions": {
            "Store": {
              "type": "object", "required": ["id"], "discriminator": "kind",
              "properties": {"id": {"type": "integer"}, "open": {"type": "boolean", "x-nullable": true},
                             "parent": {"$ref": "#/definitions/Store"}, "names": {"type": "array", "items": {"type": "string"}}}
            }
          },
          "securityDefinitions": {
            "key": {"type": "apiKey", "in": "query", "name": "k"},
            "basic": {"type": "basic"},
            "oauth": {"type": "oauth2", "flow": "accessCode", "authorizationUrl": "https://a", "tokenUrl": "https://t", "scopes": {"r": "Read"}}
          },
          "externalDocs": {"url": "https://example.com"},
          "x-any": [1]
        }
        """
}
