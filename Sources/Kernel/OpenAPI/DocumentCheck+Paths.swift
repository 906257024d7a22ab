import Documents
import JSON

/// Paths, their parameters, responses and callbacks.
extension DocumentCheck {
    func checkPaths(_ value: NodeDecoder) {
        guard value.node.members != nil else { return value.expected("a Paths Object (a mapping)") }
        var patterns: [String: String] = [:]
        for member: NodeDecoder.MemberDecoder in value.members where !member.key.hasPrefix("x-") {
            self.checkObject(member.value, .pathItem)
            let template: PathTemplate
            do {
                template = try PathTemplate(member.key)
            } catch {
                value.problem(error.message, with: member.key)
                continue
            }
            if let other: String = patterns.updateValue(member.key, forKey: template.pattern) {
                value.problem(
                    "expected a path that differs from \(Quoted.text(other)) in more than its parameters' names",
                    with: member.key)
            }
            self.checkParameters(of: member.value, template)
        }
    }

    // MARK: Parameters

    /// The parameters that a list declares.
    private struct Declared {
        /// "in name"
        var keys: Set<String> = []
        /// Names of those in the path.
        var inPath: Set<String> = []
        /// False when a reference is broken, so that there may be more.
        var isComplete: Bool = true
    }

    /// Every parameter of the template is declared, and every path parameter that is declared is in the template.
    private func checkParameters(of item: NodeDecoder, _ template: PathTemplate) {
        guard item.node["$ref"] == nil else { return }
        let shared: Declared = self.declared(item["parameters"], template)
        for method: String in self.specification.methods {
            guard let operation: NodeDecoder = item[method], operation.node.members != nil else { continue }
            let own: Declared = self.declared(operation["parameters"], template)
            guard shared.isComplete, own.isComplete else { continue }
            for name: String in template.parameters where !shared.inPath.contains(name) && !own.inPath.contains(name) {
                operation.problem("expected a parameter \(Quoted.text(name)) in: path, since the path has it")
            }
        }
    }

    private func declared(_ list: NodeDecoder?, _ template: PathTemplate) -> Declared {
        var declared: Declared = Declared()
        var bodies: Int = 0
        var forms: Int = 0
        for element: NodeDecoder in list?.elements ?? [] {
            guard let parameter: NodeDecoder = self.resolved(element), let name: String = parameter.node["name"]?.text,
                let place: String = parameter.node["in"]?.text
            else {
                declared.isComplete = false
                continue
            }
            if !declared.keys.insert("\(place) \(name)").inserted {
                element.problem("expected each parameter once, found \(Quoted.text(name)) in: \(place) again")
            }
            if place == "body" { bodies += 1 }
            if place == "formData" { forms += 1 }
            guard place == "path" else { continue }
            declared.inPath.insert(name)
            if !template.parameters.contains(name) {
                element.problem(
                    "expected the path to have the parameter \(Quoted.text(name)), since it is declared in: path")
            }
        }
        if self.version == .v2, bodies > 1 { list?.problem("expected at most one parameter in: body, found \(bodies)") }
        if self.version == .v2, bodies > 0, forms > 0 {
            list?.problem("expected parameters in: body or in: formData, found both")
        }
        return declared
    }

    // MARK: Responses, callbacks

    func checkResponses(_ value: NodeDecoder) {
        guard value.node.members != nil else { return value.expected("a Responses Object (a mapping)") }
        var count: Int = 0
        for member: NodeDecoder.MemberDecoder in value.members where !member.key.hasPrefix("x-") {
            count += 1
            if self.isStatus(member.key) {
                self.check(member.value, .referable(.response))
            } else {
                let ranges: String = self.version == .v2 ? "" : ", a range such as 4XX,"
                value.problem(
                    "expected a status code from 100 to 599\(ranges) or default, found \(Quoted.text(member.key))",
                    with: member.key)
            }
        }
        if count == 0 { value.problem("expected at least one response") }
    }

    private func isStatus(_ key: String) -> Bool {
        if key == "default" { return true }
        let characters: [UInt8] = Array(key.utf8)
        guard characters.count == 3, (UInt8(ascii: "1")...UInt8(ascii: "5")).contains(characters[0]) else {
            return false
        }
        if self.version != .v2, characters[1] == UInt8(ascii: "X"), characters[2] == UInt8(ascii: "X") { return true }
        let digits: ClosedRange<UInt8> = UInt8(ascii: "0")...UInt8(ascii: "9")
        return digits.contains(characters[1]) && digits.contains(characters[2])
    }

    /// A callback maps expressions to path items.
    func checkCallback(_ value: NodeDecoder) {
        guard value.node.members != nil else { return value.expected("a Callback Object (a mapping)") }
        for member: NodeDecoder.MemberDecoder in value.members where !member.key.hasPrefix("x-") {
            self.check(member.value, .referable(.pathItem))
        }
    }
}
