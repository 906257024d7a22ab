import Documents
import JSON

/// What the specifications say in words about single objects, beside their tables of fields.
extension DocumentCheck {
    func checkRules(_ value: NodeDecoder, _ kind: ObjectKind) {
        switch (kind, self.version) {
        case (.root, _): self.checkRoot(value)
        case (.components, _): self.checkComponentNames(value)
        case (.server, _): self.checkServer(value)
        case (.license, .v3_1): self.checkExclusive(value, "identifier", "url")
        case (.example, _): self.checkExclusive(value, "value", "externalValue")
        case (.pathItem, _): self.checkPathItem(value)
        case (.operation, _): self.checkOperation(value)
        case (.parameter, .v2): self.checkParameter2(value)
        case (.items, .v2), (.header, .v2): self.checkItems2(value)
        case (.parameter, _): self.checkParameter(value)
        case (.header, _): self.checkSchemaOrContent(value)
        case (.mediaType, _): self.checkExclusive(value, "example", "examples")
        case (.link, _): self.checkLink(value)
        case (.securityScheme, .v2): self.checkSecurityScheme2(value)
        case (.securityScheme, _): self.checkSecurityScheme(value)
        case (.oauthFlows, _): self.checkFlows(value)
        default: return
        }
    }

    // MARK: Root

    private func checkRoot(_ value: NodeDecoder) {
        if self.version == .v3_1, value.node["paths"] == nil, value.node["webhooks"] == nil,
            value.node["components"] == nil
        {
            value.problem("expected at least one of the fields \"paths\", \"webhooks\" and \"components\"")
        }
        if let basePath: NodeDecoder = value["basePath"], let text: String = basePath.node.text, !text.hasPrefix("/") {
            basePath.problem("expected a base path that begins with \"/\"")
        }
        var names: Set<String> = []
        for tag: NodeDecoder in value["tags"]?.elements ?? [] {
            guard let name: NodeDecoder = tag["name"], let text: String = name.node.text else { continue }
            if !names.insert(text).inserted { name.problem("expected each tag once, found \(Quoted.text(text)) again") }
        }
    }

    private func checkComponentNames(_ value: NodeDecoder) {
        for section: NodeDecoder.MemberDecoder in value.members where !section.key.hasPrefix("x-") {
            for member: NodeDecoder.MemberDecoder in section.value.members where !Self.isComponentName(member.key) {
                section.value.problem("expected a name of letters, digits, '.', '-' and '_'", with: member.key)
            }
        }
    }

    private static func isComponentName(_ name: String) -> Bool {
        for byte: UInt8 in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                continue
            default: return false
            }
        }
        return !name.isEmpty
    }

    private func checkServer(_ value: NodeDecoder) {
        guard let url: NodeDecoder = value["url"], let text: String = url.node.text else { return }
        guard let names: [String] = ServerURL.variables(of: text) else {
            return url.problem("expected each '{' of the URL to be closed by '}' after a name")
        }
        for name: String in names where value["variables"]?.node[name] == nil {
            url.problem("expected a variable \(Quoted.text(name)) under \"variables\", since the URL has it")
        }
        for member: NodeDecoder.MemberDecoder in value["variables"]?.members ?? [] {
            guard let choices: [Node] = member.value.node["enum"]?.elements, !choices.isEmpty,
                let fallback: NodeDecoder = member.value["default"], let text: String = fallback.node.text
            else { continue }
            var isChoice: Bool = false
            for choice: Node in choices where choice.text == text { isChoice = true }
            if !isChoice { fallback.problem("expected one of the values under \"enum\"") }
        }
    }

    private func checkExclusive(_ value: NodeDecoder, _ first: String, _ second: String) {
        if value.node[first] != nil, value.node[second] != nil {
            value.problem("expected either \(Quoted.text(first)) or \(Quoted.text(second)), found both")
        }
    }

    // MARK: Operations

    private func checkPathItem(_ value: NodeDecoder) {
        if let reference: NodeDecoder = value["$ref"], reference.node.text != nil {
            self.checkReference(reference, .pathItem)
        }
    }

    private func checkOperation(_ value: NodeDecoder) {
        guard self.operations.insert(value.pointer.text).inserted else { return }
        guard let id: NodeDecoder = value["operationId"], let text: String = id.node.text else { return }
        if !self.operationIDs.insert(text).inserted {
            id.problem("expected each operation id once, found \(Quoted.text(text)) again")
        }
    }

    private func checkLink(_ value: NodeDecoder) {
        self.checkExclusive(value, "operationId", "operationRef")
        if value.node["operationId"] == nil, value.node["operationRef"] == nil {
            value.problem("expected \"operationId\" or \"operationRef\"")
        }
        if let id: NodeDecoder = value["operationId"], id.node.text != nil { self.linkedOperations.append(id) }
    }

    func checkLinkedOperations() {
        for id: NodeDecoder in self.linkedOperations where !self.operationIDs.contains(id.node.text ?? "") {
            id.problem("expected the id of an operation in this document")
        }
    }

    // MARK: Parameters

    private func checkParameter(_ value: NodeDecoder) {
        self.checkRequiredInPath(value)
        self.checkSchemaOrContent(value)
    }

    private func checkRequiredInPath(_ value: NodeDecoder) {
        guard value.node["in"]?.text == "path" else { return }
        if case .bool(true) = value.node["required"]?.kind { return }
        value.problem("expected required: true, since the parameter is in: path")
    }

    private func checkSchemaOrContent(_ value: NodeDecoder) {
        self.checkExclusive(value, "schema", "content")
        self.checkExclusive(value, "example", "examples")
        if let content: NodeDecoder = value["content"], let count: Int = content.node.members?.count, count != 1 {
            content.problem("expected exactly one media type, found \(count)")
        }
        if value.node["schema"] == nil, value.node["content"] == nil {
            value.problem("expected \"schema\" or \"content\"")
        }
    }

    private func checkParameter2(_ value: NodeDecoder) {
        self.checkRequiredInPath(value)
        let place: String? = value.node["in"]?.text
        if place == "body" {
            if value.node["schema"] == nil { value.missing("schema") }
            return
        }
        if value.node["schema"] != nil { value.problem("expected \"schema\" only with in: body", with: "schema") }
        if value.node["type"] == nil { value.missing("type") }
        if value.node["type"]?.text == "file", place != "formData" {
            value.problem("expected in: formData, since the type is file")
        }
        self.checkItems2(value)
    }

    private func checkItems2(_ value: NodeDecoder) {
        if value.node["type"]?.text == "array", value.node["items"] == nil {
            value.problem("expected a field \"items\", since the type is array")
        }
    }

    // MARK: Security

    func checkSecurity(_ value: NodeDecoder) {
        guard value.node.elements != nil else { return value.expected("a list of security requirements") }
        for requirement: NodeDecoder in value.elements {
            guard requirement.node.members != nil else {
                requirement.expected("a Security Requirement Object (a mapping)")
                continue
            }
            for member: NodeDecoder.MemberDecoder in requirement.members {
                self.check(member.value, .list(.string))
                if self.securitySchemes.contains(member.key) { continue }
                let section: String = self.specification.sections[.securityScheme]?.joined(separator: "/") ?? ""
                requirement.problem("expected the name of a security scheme under \"#/\(section)\"", with: member.key)
            }
        }
    }

    private func checkSecurityScheme(_ value: NodeDecoder) {
        switch value.node["type"]?.text {
        case "apiKey": self.require(value, ["name", "in"])
        case "http": self.require(value, ["scheme"])
        case "oauth2": self.require(value, ["flows"])
        case "openIdConnect": self.require(value, ["openIdConnectUrl"])
        default: return
        }
    }

    private func checkSecurityScheme2(_ value: NodeDecoder) {
        guard value.node["type"]?.text == "oauth2" else {
            if value.node["type"]?.text == "apiKey" { self.require(value, ["name", "in"]) }
            return
        }
        self.require(value, ["flow", "scopes"])
        switch value.node["flow"]?.text {
        case "implicit": self.require(value, ["authorizationUrl"])
        case "password", "application": self.require(value, ["tokenUrl"])
        case "accessCode": self.require(value, ["authorizationUrl", "tokenUrl"])
        default: return
        }
    }

    private func checkFlows(_ value: NodeDecoder) {
        for member: NodeDecoder.MemberDecoder in value.members where member.value.node.members != nil {
            switch member.key {
            case "implicit": self.require(member.value, ["authorizationUrl"])
            case "password", "clientCredentials": self.require(member.value, ["tokenUrl"])
            case "authorizationCode": self.require(member.value, ["authorizationUrl", "tokenUrl"])
            default: continue
            }
        }
    }

    private func require(_ value: NodeDecoder, _ names: [String]) {
        for name: String in names where value.node[name] == nil { value.missing(name) }
    }
}
