"""The accounts of a universe and their keys: what is set, whether it works, and mending it."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pipeline.accountforms import AccountForm, SecretForm
from pipeline.models import AccountHealth
from pipeline.services.accounts import API_KEY, KEY_VARIABLES, environment
from pipeline.services.health import Check, check_account, codes_in_use, known_codes, last_checks
from pipeline.services.mended import stopped_runs
from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError
from projects.models import Project, ProviderAccount
from projects.services import secrets
from projects.services.accounts import save_account

N_STOPPED = 10  # runs that are named


@dataclass(frozen=True)
class Row:
    """One way to a provider: its account's row (None: only a key), where its key is, its last check."""

    code: str
    account: ProviderAccount | None
    key: str
    health: AccountHealth | None

    @property
    def price(self) -> object:
        """What the account says an image costs, '' for the price list."""
        config = self.account.config if self.account else {}
        prices = config.get("prices") if isinstance(config, dict) else None
        return prices.get("per_image", "") if isinstance(prices, dict) else ""


@require_safe
@project_page(Action.READ)
def accounts(request: PageRequest, project: Project) -> HttpResponse:
    """All accounts with their health, and which secrets there are."""
    return _page(request, project, SecretForm())


@require_http_methods(["GET", "POST"])
@project_page(Action.MANAGE_SETTINGS)
def account_new(request: PageRequest, project: Project) -> HttpResponse:
    """An account with a provider that has none yet."""
    return _account_page(request, project, None)


@require_http_methods(["GET", "POST"])
@project_page(Action.MANAGE_SETTINGS)
def account_edit(request: PageRequest, project: Project, code: str) -> HttpResponse:
    """One account, all of it."""
    account = project.provider_accounts.filter(provider_code=code).first()
    if account is None:
        raise Http404("No such account")
    return _account_page(request, project, account)


@require_POST
@project_page(Action.MANAGE_SETTINGS)
def account_check(request: PageRequest, project: Project, code: str) -> HttpResponse:
    """Ask the provider now; costs nothing."""
    if code not in known_codes():
        raise Http404("No such provider")
    _say(request, check_account(project, code, by=request.principal))
    back = "dashboard" if request.POST.get("back") == "dashboard" else "accounts"
    return redirect(f"pipeline:{back}", project.slug)


@never_cache
@sensitive_post_parameters("secret_value")
@sensitive_variables("form")
@require_POST
@project_page(Action.MANAGE_SETTINGS)
def secret_set(request: PageRequest, project: Project) -> HttpResponse:
    """Store a value, and see at once whether it works."""
    form = SecretForm(request.POST)
    if not form.is_valid():
        return _page(request, project, form, status=422)
    data = form.cleaned_data
    try:
        info, _ = secrets.set_secret(
            project,
            data["provider_code"],
            data["secret_name"],
            value=data["secret_value"],
            by=request.principal,
        )
    except KromaError as error:
        form.add_error(None, str(error))
        return _page(request, project, form, status=422)
    messages.success(request, f"{info.provider_code}/{info.secret_name} is stored.")
    if info.secret_name == API_KEY and info.provider_code in known_codes():
        _say(request, check_account(project, info.provider_code, by=request.principal))
    return redirect("pipeline:accounts", project.slug)


@require_POST
@project_page(Action.MANAGE_SETTINGS)
def secret_delete(request: PageRequest, project: Project) -> HttpResponse:
    """Forget a value and its name."""
    code, name = request.POST.get("provider_code", ""), request.POST.get("secret_name", "")
    secrets.delete_secret(project, code, name, by=request.principal)
    messages.success(request, f"{code}/{name} is forgotten.")
    return redirect("pipeline:accounts", project.slug)


@require_POST
@project_page(Action.MANAGE_SETTINGS)
def secrets_rotate(request: PageRequest, project: Project) -> HttpResponse:
    """Encrypt all values anew with the present master key."""
    rotation, _ = secrets.rotate_secrets(project, by=request.principal, force=True)
    n = rotation.rotated
    messages.success(request, f"{n} value{'s' * (n != 1)} encrypted anew with the present master key.")
    return redirect("pipeline:accounts", project.slug)


def _page(request: PageRequest, project: Project, form: SecretForm, *, status: int = 200) -> HttpResponse:
    found = secrets.list_secrets(project)
    rows = {account.provider_code: account for account in project.provider_accounts.all()}
    checks = last_checks(project)
    stored = {info.provider_code for info in found if info.secret_name == API_KEY and info.has_value}
    codes = sorted({*codes_in_use(project), *checks})
    context = {
        "project": project,
        "section": "settings",
        "rows": [Row(code, rows.get(code), _key_of(code, stored), checks.get(code)) for code in codes],
        "secrets": found,
        "status": secrets.rotation_status(project),
        "form": form,
        "codes": known_codes(),
        "stopped": stopped_runs(project)[:N_STOPPED],
    }
    return render(request, "pipeline/accounts.html", context, status=status)


def _key_of(code: str, stored: set[str]) -> str:
    """Where the key for a provider is, in words; '' where none is found."""
    if code in stored:
        return "a secret of this universe"
    variable = KEY_VARIABLES.get(code, "")
    return f"the server’s {variable}" if variable and environment(variable) else ""


def _account_page(request: PageRequest, project: Project, account: ProviderAccount | None) -> HttpResponse:
    form = AccountForm(request.POST or None, request.FILES or None, account=account)
    if request.method == "POST" and form.is_valid():
        code = account.provider_code if account else form.cleaned_data["provider_code"]
        try:
            if account is None and project.provider_accounts.filter(provider_code=code).exists():
                form.add_error("provider_code", f"There is an account with {code} already: change that one")
            else:
                save_account(project, code, changes=form.changes(), by=request.principal)
        except KromaError as error:
            form.add_error(None, str(error))
        if not form.errors:
            _say(request, check_account(project, code, by=request.principal))
            return redirect("pipeline:accounts", project.slug)
    context = {"project": project, "section": "settings", "form": form, "account": account}
    return render(request, "pipeline/account_form.html", context, status=422 if form.errors else 200)


def _say(request: PageRequest, check: Check) -> None:
    level = messages.success if check.ok else messages.error
    level(request, f"{check.provider_code}: {check.message}.")
    if n := len(check.going_on):
        messages.success(request, f"{n} run{'s' * (n != 1)} that it had stopped go{'es' * (n == 1)} on.")
