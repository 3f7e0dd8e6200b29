"""The database itself refuses to change the ledger, whoever writes to it.

No entry can be updated. On PostgreSQL none can be deleted either, except in a transaction that says it erases a person:
SET LOCAL wellrange.erasing = 'yes'. SQLite has no such variable, and emptying a test database must stay possible there:
for deleting it has only the model's refusal.
"""

from django.db import migrations

MESSAGE = "the consent ledger is append-only"
SQLITE = f"""
CREATE TRIGGER consent_append_only BEFORE UPDATE ON consent_consententry
BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
"""
POSTGRESQL = f"""
CREATE FUNCTION consent_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('wellrange.erasing', true) = 'yes' THEN RETURN OLD; END IF;
  RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER consent_append_only BEFORE UPDATE OR DELETE ON consent_consententry
FOR EACH ROW EXECUTE FUNCTION consent_append_only();
"""


def forbid(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    schema_editor.execute(SQLITE if vendor == "sqlite" else POSTGRESQL)


def allow(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER consent_append_only")
    else:
        schema_editor.execute("DROP FUNCTION consent_append_only CASCADE")


class Migration(migrations.Migration):
    dependencies = [("consent", "0001_initial")]
    operations = [migrations.RunPython(forbid, allow)]
