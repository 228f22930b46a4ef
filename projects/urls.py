from django.urls import path

from projects.views import audit, library, members, people, tokens, universes

app_name = "projects"
urlpatterns = [
    path("signin", people.signin, name="signin"),
    path("signin/<str:token>", people.signin_link, name="signin-link"),
    path("signout", people.signout, name="signout"),
    path("password", people.password, name="password"),
    path("tokens", tokens.own_tokens, name="tokens"),
    path("tokens/<uuid:pk>/revoke", tokens.own_token_revoke, name="token-revoke"),
    path("audit", audit.whole_trail, name="audit-all"),
    path("projects/new", universes.project_new, name="project-new"),
    path("projects/<slug:slug>/library", library.library, name="library"),
    path("projects/<slug:slug>/library/style-guides/new", library.style_guide_new, name="style-guide-new"),
    path(
        "projects/<slug:slug>/library/style-guides/<uuid:pk>",
        library.style_guide_edit,
        name="style-guide-edit",
    ),
    path(
        "projects/<slug:slug>/library/style-guides/<uuid:pk>/delete",
        library.style_guide_delete,
        name="style-guide-delete",
    ),
    path("projects/<slug:slug>/library/characters/new", library.character_new, name="character-new"),
    path("projects/<slug:slug>/library/characters/<uuid:pk>", library.character_edit, name="character-edit"),
    path(
        "projects/<slug:slug>/library/characters/<uuid:pk>/delete",
        library.character_delete,
        name="character-delete",
    ),
    path(
        "projects/<slug:slug>/library/reference-sets/new",
        library.reference_set_new,
        name="reference-set-new",
    ),
    path(
        "projects/<slug:slug>/library/reference-sets/<uuid:pk>/edit",
        library.reference_set_edit,
        name="reference-set-edit",
    ),
    path(
        "projects/<slug:slug>/library/reference-sets/<uuid:pk>/delete",
        library.reference_set_delete,
        name="reference-set-delete",
    ),
    path("projects/<slug:slug>/members", members.members, name="members"),
    path("projects/<slug:slug>/members/add", members.member_add, name="member-add"),
    path("projects/<slug:slug>/members/<uuid:pk>/role", members.member_role, name="member-role"),
    path("projects/<slug:slug>/members/<uuid:pk>/remove", members.member_remove, name="member-remove"),
    path("projects/<slug:slug>/tokens", tokens.project_tokens, name="project-tokens"),
    path(
        "projects/<slug:slug>/tokens/<uuid:pk>/revoke",
        tokens.project_token_revoke,
        name="project-token-revoke",
    ),
    path("projects/<slug:slug>/audit", audit.trail, name="audit"),
]
