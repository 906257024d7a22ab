import HTTP
import REST

extension RequestContext {
    /// The request in the language that the client wants its users' pages in (`ui_locales`, OpenID Connect Core section 3.1.2.1):
    /// where there is one that the pages speak, it counts more than what the browser prefers. A form carries along where it leads,
    /// and with that what the client has asked for.
    var inAskedLanguage: RequestContext {
        var text: String = self.request.query ?? ""
        if self.request.method == .post, let form: QueryParameters = try? QueryParameters.parseForm(self.bytes) {
            text = form.encoded
        }
        // A page leads to a page that leads to the client, at most.
        for _ in 0..<3 {
            guard let parameters: QueryParameters = try? QueryParameters.parse(text) else { return self }
            if let locales: String = parameters["ui_locales"] { return self.speaking(locales) }
            guard let target: String = parameters["target"] ?? parameters["next"],
                let mark: String.Index = target.firstIndex(of: "?")
            else { return self }
            text = String(target[mark...].dropFirst())
        }
        return self
    }

    /// - Parameter locales: language tags, the one to prefer first.
    private func speaking(_ locales: String) -> RequestContext {
        for tag in locales.split(separator: " ") {
            let language: String = tag.prefix { $0 != "-" && $0 != "_" }.lowercased()
            guard let known: Language = Language(rawValue: language) else { continue }
            var context: RequestContext = self
            context.language = known
            return context
        }
        return self
    }
}
