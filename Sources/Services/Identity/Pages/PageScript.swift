import HTTP

/// The only script of the pages: it asks the browser for a passkey, writes the answer into the form, and sends the form. Forms that
/// need it are hidden until it runs; everything else works without.
enum PageScript {
    static let path: String = "/oauth2/passkeys.js"

    static let text: String = """
        "use strict";
        (() => {
          const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
          const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
            .replace(/\\+/g, "-").replace(/\\//g, "_").replace(/=+$/, "");
          const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
          const create = async (options) => {
            const made = await navigator.credentials.create({ publicKey: {
              ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
              excludeCredentials: known(options.excludeCredentials) } });
            const answer = made.response;
            return { id: made.id, rawId: text(made.rawId), type: made.type, response: {
              clientDataJSON: text(answer.clientDataJSON), attestationObject: text(answer.attestationObject),
              transports: answer.getTransports ? answer.getTransports() : [] } };
          };
          const get = async (options) => {
            const used = await navigator.credentials.get({ publicKey: {
              ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) } });
            const answer = used.response;
            return { id: used.id, rawId: text(used.rawId), type: used.type, response: {
              clientDataJSON: text(answer.clientDataJSON), authenticatorData: text(answer.authenticatorData),
              signature: text(answer.signature), userHandle: answer.userHandle ? text(answer.userHandle) : null } };
          };
          if (!window.PublicKeyCredential || !navigator.credentials) return;
          for (const note of document.querySelectorAll("[data-without-passkeys]")) note.hidden = true;
          for (const form of document.querySelectorAll("form[data-passkey]")) {
            const problem = form.querySelector("[role=alert]");
            form.hidden = false;
            form.addEventListener("submit", async (event) => {
              event.preventDefault();
              problem.hidden = true;
              try {
                const ask = form.dataset.passkey === "create" ? create : get;
                form.elements.credential.value = JSON.stringify(await ask(JSON.parse(form.dataset.options)));
              } catch {
                problem.hidden = false;
                return;
              }
              form.submit();
            });
          }
        })();

        """

    static var response: HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "text/javascript; charset=utf-8")
        fields.append("Cache-Control", "public, max-age=300")
        fields.append("X-Content-Type-Options", "nosniff")
        return HTTPResponse(status: 200, fields: fields, body: .bytes(Array(Self.text.utf8)))
    }
}
