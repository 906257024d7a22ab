import Documents
import OpenAPI
import Testing

struct InvalidOpenAPITests {
    private func problems(_ text: String, limits: OpenAPILimits = .standard) -> [String] {
        do {
            _ = try OpenAPIDocument.read(Array(text.utf8), limits: limits)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test(
        arguments: [
            ("", "1:1: expected an OpenAPI document (a mapping), found nothing"),
            ("just text", "1:1: expected an OpenAPI document (a mapping), found a string"),
            ("a: 1", "1:1: expected an OpenAPI document: swagger: \"2.0\", or openapi: with 3.0.x or 3.1.x"),
            (
                "swagger: 2.0",
                "1:10: /swagger: expected swagger: \"2.0\", or openapi: with 3.0.x or 3.1.x, found the number 2 (put it in quotes)"
            ),
            (
                "swagger: '1.2'",
                "1:10: /swagger: expected swagger: \"2.0\", or openapi: with 3.0.x or 3.1.x, found \"1.2\""
            ),
            (
                "openapi: 4.0.0",
                "1:10: /openapi: expected swagger: \"2.0\", or openapi: with 3.0.x or 3.1.x, found \"4.0.0\""
            ),
            (
                "openapi: '3.1'",
                "1:10: /openapi: expected swagger: \"2.0\", or openapi: with 3.0.x or 3.1.x, found \"3.1\""
            ),
            (
                "openapi: [3]",
                "1:10: /openapi: expected swagger: \"2.0\", or openapi: with 3.0.x or 3.1.x, found a list"
            ),
            (
                "openapi: 3.0.0\ninfo: {title: [x",
                "3:1: expected YAML: did not find expected ',' or ']' while parsing a flow sequence of line 2"
            ),
            ("{\"openapi\": \"3.0.0\",}", "1:21: expected a key in double quotes, found '}'"),
        ])
    func refusesWhatIsNoDocument(_ text: String, _ problem: String) {
        #expect(self.problems(text) == [problem])
    }

    @Test func namesEveryProblemAtOnceInTheOrderOfTheirPlaces() {
        let text: String = """
            openapi: 3.0.3
            info:
              titel: Orders
              version: 1.0
            servers: {url: /}
            paths:
              orders:
                get: {responses: {'200': {description: OK}}}
              /orders/{id}:
                get:
                  operationId: same
                  parameters:
                    - {name: page, in: body, schema: {type: int}}
                  responses: {}
                fetch: {}
              /orders/{name}:
                get:
                  operationId: same
                  parameters:
                    - {name: name, in: path, schema: {$ref: '#/components/schemas/Odrer'}}
                  responses: {20O: {description: OK}}
            components:
              schemas:
                Order: {type: array}
            """
        #expect(
            self.problems(text) == [
                "3:3: /info/titel: unknown field \"titel\", did you mean \"title\"?",
                "3:3: /info: expected a field \"title\"",
                "4:12: /info/version: expected a string, found a number (put it in quotes)",
                "5:10: /servers: expected a list, found a mapping",
                "7:3: /paths/orders: expected a path that begins with \"/\"",
                "11:7: /paths/~1orders~1{id}/get: expected a parameter \"id\" in: path, since the path has it",
                "13:28: /paths/~1orders~1{id}/get/parameters/0/in: expected one of query, header, path, cookie, found \"body\"",
                "13:49: /paths/~1orders~1{id}/get/parameters/0/schema/type: expected one of array, boolean, integer, number, object, string, found \"int\"",
                "14:18: /paths/~1orders~1{id}/get/responses: expected at least one response",
                "15:5: /paths/~1orders~1{id}/fetch: unknown field \"fetch\", expected one of $ref, summary, description, get, put, post, delete, options, head, patch, trace, servers, parameters",
                "16:3: /paths/~1orders~1{name}: expected a path that differs from \"/orders/{id}\" in more than its parameters' names",
                "18:20: /paths/~1orders~1{name}/get/operationId: expected each operation id once, found \"same\" again",
                "20:11: /paths/~1orders~1{name}/get/parameters/0: expected required: true, since the parameter is in: path",
                "20:49: /paths/~1orders~1{name}/get/parameters/0/schema/$ref: expected something at \"#/components/schemas/Odrer\", found nothing, did you mean \"Order\"?",
                "21:19: /paths/~1orders~1{name}/get/responses/20O: expected a status code from 100 to 599, a range such as 4XX, or default, found \"20O\"",
                "24:12: /components/schemas/Order: expected a field \"items\", since the type is array",
            ])
    }

    /// One change to a valid document and the one problem that it makes.
    @Test(
        arguments: [
            ("title: Orders", "title: ''", "/info/title: expected a string of at least 1 bytes, found 0"),
            ("title: Orders", "title:", "/info/title: expected a string, found nothing"),
            (
                "openapi: 3.0.3", "openapi: 3.0.3\nwebhooks: {}",
                "/webhooks: unknown field \"webhooks\", expected one of openapi, info, servers, paths, components, security, tags, externalDocs"
            ),
            (
                "openapi: 3.0.3", "openapi: 3.0.3\nsecurty: []",
                "/securty: unknown field \"securty\", did you mean \"security\"?"
            ),
            (
                "- key: []", "- kye: []",
                "/security/0/kye: expected the name of a security scheme under \"#/components/securitySchemes\""
            ),
            ("- key: []", "- key: x", "/security/0/key: expected a list, found a string"),
            (
                "- name: orders", "- name: orders\n  - name: orders",
                "/tags/1/name: expected each tag once, found \"orders\" again"
            ),
            (
                "https://{region}.example", "https://{region.example",
                "/servers/0/url: expected each '{' of the URL to be closed by '}' after a name"
            ),
            (
                "stage: {default: live}", "stages: {default: live}",
                "/servers/0/url: expected a variable \"stage\" under \"variables\", since the URL has it"
            ),
            (
                "region: {default: eu,", "region: {default: de,",
                "/servers/0/variables/region/default: expected one of the values under \"enum\""
            ),
            (
                "region: {default: eu, enum", "region: {enum",
                "/servers/0/variables/region: expected a field \"default\""
            ),
            (
                "'#/components/parameters/page'", "'#/components/headers/shared'",
                "/paths/~1orders/parameters/0/$ref: expected a reference to a Parameter Object, such as \"#/components/parameters/name\""
            ),
            (
                "'#/components/parameters/page'", "other.yaml#/page",
                "/paths/~1orders/parameters/0/$ref: expected a reference into this document (#/…); bundle documents that refer to others before importing them"
            ),
            (
                "'#/components/parameters/page'", "'#page'",
                "/paths/~1orders/parameters/0/$ref: expected a JSON pointer after \"#\", such as \"#/components/parameters/name\""
            ),
            (
                "'#/components/parameters/page'", "7",
                "/paths/~1orders/parameters/0/$ref: expected a string, found an integer (put it in quotes)"
            ),
            (
                "'#/components/parameters/page'", "'#/info'",
                "/info/title: unknown field \"title\", expected one of name, in, description, required, deprecated, allowEmptyValue, style, explode, allowReserved, schema, example, examples, content"
            ),
            (
                "page: {name: page, in: query,", "page: {$ref: '#/components/parameters/page', in: query,",
                "/paths/~1orders/parameters/0/$ref: expected a reference that ends, found one that leads back to itself"
            ),
            (
                "failed: {description: Failed}", "failed: {}",
                "/components/responses/failed: expected a field \"description\""
            ),
            (
                "failed: {description", "fa iled: {description: x}\n    failed: {description",
                "/components/responses/fa iled: expected a name of letters, digits, '.', '-' and '_'"
            ),
            (
                "operationId: getOrder,", "operationId: fetchOrder,",
                "/paths/~1orders/get/responses/200/links/first/operationId: expected the id of an operation in this document"
            ),
            (
                "again: {operationRef: '#/paths/~1orders/get',", "again: {",
                "/components/links/again: expected \"operationId\" or \"operationRef\""
            ),
            (
                "one: {summary: One,", "one: {externalValue: x,",
                "/components/examples/one: expected either \"value\" or \"externalValue\", found both"
            ),
            (
                "content: {text/plain: {}}", "content: {a/b: {}, c/d: {}}",
                "/components/headers/shared/content: expected exactly one media type, found 2"
            ),
            (
                "content: {text/plain: {}}", "content: {a/b: {}}, schema: {}",
                "/components/headers/shared: expected either \"schema\" or \"content\", found both"
            ),
            (
                "content: {text/plain: {}}", "content: {text/plain: {example: 1, examples: {}}}",
                "/components/headers/shared/content/text~1plain: expected either \"example\" or \"examples\", found both"
            ),
            (
                "schema: {type: integer, default: 1}", "example: 1, examples: {}, schema: {}",
                "/components/parameters/page: expected either \"example\" or \"examples\", found both"
            ),
            (
                "content: {text/plain: {}}", "required: true",
                "/components/headers/shared: expected \"schema\" or \"content\""
            ),
            (
                "key: {type: apiKey, in: header, name: X-API-Key}", "key: {type: apiKey, in: header}",
                "/components/securitySchemes/key: expected a field \"name\""
            ),
            (
                "basic: {type: http, scheme: basic}", "basic: {type: http}",
                "/components/securitySchemes/basic: expected a field \"scheme\""
            ),
            (
                "basic: {type: http,", "basic: {type: mutualTLS,",
                "/components/securitySchemes/basic/type: expected one of apiKey, http, oauth2, openIdConnect, found \"mutualTLS\""
            ),
            (
                "password: {tokenUrl: 'https://t',", "password: {",
                "/components/securitySchemes/oauth/flows/password: expected a field \"tokenUrl\""
            ),
            (
                "in: path, required: true, schema: {type: string, format: uuid}",
                "in: path, required: false, schema: {type: string}",
                "/paths/~1orders~1{id}/parameters/0: expected required: true, since the parameter is in: path"
            ),
            (
                "- {name: id, in: path,",
                "- {name: idd, in: header, schema: {}}\n      - {name: idd, in: header, schema: {}}\n      - {name: id, in: path,",
                "/paths/~1orders~1{id}/parameters/1: expected each parameter once, found \"idd\" in: header again"
            ),
            (
                "- {name: id, in: path,",
                "- {name: uid, in: path, required: true, schema: {}}\n      - {name: id, in: path,",
                "/paths/~1orders~1{id}/parameters/0: expected the path to have the parameter \"uid\", since it is declared in: path"
            ),
            (
                "/files/{name}.{ext}:", "/files/{name}.{ext:",
                "/paths/~1files~1{name}.{ext: expected '}' after '{' in the path"
            ),
            (
                "/files/{name}.{ext}:", "/files/{name}.{ext}?x:",
                "/paths/~1files~1{name}.{ext}?x: expected a path without query and fragment"
            ),
            (
                "  /orders:", "  /a b: {}\n  /orders:",
                "/paths/~1a b: expected a path without white space and control characters"
            ),
            (
                "$ref: '#/x-shared/files'", "$ref: '#/x-shared/flies'",
                "/paths/~1files~1{name}.{ext}/$ref: expected something at \"#/x-shared/flies\", found nothing, did you mean \"files\"?"
            ),
            (
                "{not: {type: string}}", "{not: [string]}",
                "/components/schemas/Choice/oneOf/1/not: expected a Schema Object (a mapping), found a list"
            ),
            (
                "anyOf: [{type: object}]", "anyOf: []",
                "/components/schemas/Choice/anyOf: expected a list of at least one schema"
            ),
            (
                "minLength: 1,", "minLength: -1,",
                "/components/schemas/Order/properties/id/minLength: expected an integer of at least 0, found -1"
            ),
            (
                "exclusiveMinimum: true", "exclusiveMinimum: 0",
                "/components/schemas/Order/properties/amount/exclusiveMinimum: expected true or false, found an integer"
            ),
            (
                "nullable: true", "nullable: yes",
                "/components/schemas/Order/properties/amount/nullable: expected true or false, found \"yes\""
            ),
            (
                "required: [id]\n", "required: id\n",
                "/components/schemas/Order/required: expected a list, found a string"
            ),
            (
                "mapping: {tree: '#/components/schemas/Tree'", "mapping: {tree: '#/components/schemas/Tere'",
                "/components/schemas/Order/discriminator/mapping/tree: expected something at \"#/components/schemas/Tere\", found nothing, did you mean \"Tree\"?"
            ),
            (
                "- $ref: '#/components/schemas/Order'", "- $ref: '#/components/schemas/Tree'",
                "/components/schemas/Tree: expected a schema that does not consist of itself ($ref and allOf lead back to it)"
            ),
            (
                "style: form, explode: false", "style: from, explode: false",
                "/components/parameters/page/style: expected one of matrix, label, form, simple, spaceDelimited, pipeDelimited, deepObject, found \"from\""
            ),
            (
                "tags: [orders]", "tags: [7]",
                "/paths/~1orders/get/tags/0: expected a string, found an integer (put it in quotes)"
            ),
            (
                "responses: {'204': {description: Taken}}}}}", "description: x}}}",
                "/components/callbacks/shared/{$url}/post: expected a field \"responses\""
            ),
        ])
    func namesTheOneProblemOfAChange(_ valid: String, _ changed: String, _ problem: String) throws {
        let range: Range<String.Index> = try #require(Examples.v3_0.firstRange(of: valid))
        let found: [String] = self.problems(Examples.v3_0.replacingCharacters(range, with: changed))
        #expect(found.contains { $0.hasSuffix(": " + problem) }, "\(found)")
    }

    @Test(
        arguments: [
            (Examples.v3_1, "paths:\n  /events/{id}:\n    $ref: '#/components/pathItems/event'\n", "", nil),
            (
                Examples.v3_1, "type: [object, 'null']", "type: [object, object1]",
                "/components/schemas/Event/type/1: expected one of array, boolean, integer, null, number, object, string, found \"object1\""
            ),
            (
                Examples.v3_1, "exclusiveMinimum: 0", "exclusiveMinimum: true",
                "/components/schemas/Event/properties/count/exclusiveMinimum: expected a number, found a boolean"
            ),
            (
                Examples.v3_1, "else: false", "else: 7",
                "/components/schemas/Event/properties/data/else: expected a schema (a mapping or a boolean), found an integer"
            ),
            (
                Examples.v3_1, "$ref: Event.json", "$ref: Evnt.json",
                "/components/pathItems/event/get/responses/2XX/content/application~1json/schema/$ref: expected a reference into this document (#/…); bundle documents that refer to others before importing them"
            ),
            (
                Examples.v3_1, "identifier: MIT", "identifier: MIT, url: https://x",
                "/info/license: expected either \"identifier\" or \"url\", found both"
            ),
            (
                Examples.v3_1, "operationId: onCreated", "operationId: getEvent",
                "/components/pathItems/event/get/operationId: expected each operation id once, found \"getEvent\" again"
            ),
            (
                Examples.v2, "\"swagger\": \"2.0\",", "\"swagger\": \"2.0\", \"components\": {},",
                "/components: unknown field \"components\", expected one of swagger, info, host, basePath, schemes, consumes, produces, paths, definitions, parameters, responses, securityDefinitions, security, tags, externalDocs"
            ),
            (Examples.v2, "\"/v2/\"", "\"v2\"", "/basePath: expected a base path that begins with \"/\""),
            (
                Examples.v2, "[\"https\", \"http\"]", "[\"ftp\"]",
                "/schemes/0: expected one of http, https, ws, wss, found \"ftp\""
            ),
            (
                Examples.v2, "\"type\": \"array\", \"items\": {\"type\": \"string\", \"enum\": [\"a\"]},",
                "\"type\": \"array\",",
                "/paths/~1stores~1{id}/get/parameters/0: expected a field \"items\", since the type is array"
            ),
            (
                Examples.v2, "\"in\": \"body\", \"required\": true, \"schema\": {\"$ref\": \"#/definitions/Store\"}",
                "\"in\": \"body\"", "/paths/~1stores~1{id}/put/parameters/0: expected a field \"schema\""
            ),
            (
                Examples.v2, "\"in\": \"formData\", \"type\": \"file\"", "\"in\": \"query\", \"type\": \"file\"",
                "/paths/~1stores~1{id}/post/parameters/0: expected in: formData, since the type is file"
            ),
            (
                Examples.v2, "\"in\": \"formData\", \"type\": \"file\"}",
                "\"in\": \"formData\", \"type\": \"file\"}, {\"name\": \"b\", \"in\": \"body\", \"schema\": {}}",
                "/paths/~1stores~1{id}/post/parameters: expected parameters in: body or in: formData, found both"
            ),
            (
                Examples.v2, "\"204\"", "\"2XX\"",
                "/paths/~1stores~1{id}/put/responses/2XX: expected a status code from 100 to 599 or default, found \"2XX\""
            ),
            (
                Examples.v2, "\"tokenUrl\": \"https://t\", ", "",
                "/securityDefinitions/oauth: expected a field \"tokenUrl\""
            ),
            (
                Examples.v2, "\"#/responses/failed\"", "\"#/definitions/Store\"",
                "/paths/~1stores~1{id}/get/responses/default/$ref: expected a reference to a Response Object, such as \"#/responses/name\""
            ),
            (
                Examples.v2, "\"id\": {\"name\": \"id\", \"in\": \"path\"",
                "\"id\": {\"name\": \"ids\", \"in\": \"path\"",
                "/paths/~1stores~1{id}/get: expected a parameter \"id\" in: path, since the path has it"
            ),
        ] as [(String, String, String, String?)])
    func knowsTheRulesOfEachVersion(_ document: String, _ valid: String, _ changed: String, _ problem: String?) throws {
        let range: Range<String.Index> = try #require(document.firstRange(of: valid))
        let found: [String] = self.problems(document.replacingCharacters(range, with: changed))
        if let problem: String {
            #expect(found.contains { $0.hasSuffix(": " + problem) }, "\(found)")
        } else {
            #expect(found == [])
        }
    }

    @Test func version3_1NeedsPathsWebhooksOrComponents() {
        #expect(
            self.problems("openapi: 3.1.0\ninfo: {title: t, version: '1'}") == [
                "1:1: expected at least one of the fields \"paths\", \"webhooks\" and \"components\""
            ])
    }

    @Test func refusesMoreOperationsThanItsLimit() {
        var text: String = "openapi: 3.0.0\ninfo: {title: t, version: '1'}\npaths:\n"
        for number: Int in 0..<11 { text += "  /a\(number): {get: {responses: {'200': {description: x}}}}\n" }
        #expect(self.problems(text, limits: OpenAPILimits(operations: 11)) == [])
        #expect(
            self.problems(text, limits: OpenAPILimits(operations: 10)) == [
                "1:1: expected at most 10 operations, found 11"
            ])
    }

    @Test func everyLineCutOffIsRefusedOrStillValid() {
        // Whatever is left of a document, reading it ends in a document or in problems with places.
        for text: String in [Examples.v2, Examples.v3_0, Examples.v3_1] {
            let lines: [Substring] = text.split(separator: "\n", omittingEmptySubsequences: false)
            for kept: Int in 0..<lines.count {
                do {
                    _ = try OpenAPIDocument.read(Array(lines[..<kept].joined(separator: "\n").utf8))
                } catch {
                    #expect(!error.problems.isEmpty)
                    for problem: Problem in error.problems { #expect(problem.line >= 1 && problem.line <= kept + 1) }
                }
            }
        }
    }
}

extension String {
    func firstRange(of part: String) -> Range<String.Index>? {
        self.ranges(of: part).first
    }

    func replacingCharacters(_ range: Range<String.Index>, with replacement: String) -> String {
        String(self[..<range.lowerBound]) + replacement + String(self[range.upperBound...])
    }
}
