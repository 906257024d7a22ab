// libpq as Swift sees it: the library's header, and twins for the character constants that are not imported.
#pragma once
#include <libpq-fe.h>

static const int CPOSTGRES_DIAG_SQLSTATE = PG_DIAG_SQLSTATE;
static const int CPOSTGRES_DIAG_SEVERITY_NONLOCALIZED = PG_DIAG_SEVERITY_NONLOCALIZED;
static const int CPOSTGRES_DIAG_MESSAGE = PG_DIAG_MESSAGE_PRIMARY;
static const int CPOSTGRES_DIAG_DETAIL = PG_DIAG_MESSAGE_DETAIL;
static const int CPOSTGRES_DIAG_TABLE = PG_DIAG_TABLE_NAME;
static const int CPOSTGRES_DIAG_COLUMN = PG_DIAG_COLUMN_NAME;
static const int CPOSTGRES_DIAG_CONSTRAINT = PG_DIAG_CONSTRAINT_NAME;
